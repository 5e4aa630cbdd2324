//! The output of `gluster volume info [VOLUME] --xml` (cli-xml-output.c).

use roxmltree::{Document, Node, ParsingOptions};
use uuid::Uuid;

/// No more elements, attributes and texts than this are taken from one document.
const NODES_LIMIT: u32 = 1 << 20;

/// One volume of the output. Counts are 0 where it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// The volume's name.
    pub name: String,
    /// The volume's id.
    pub id: Option<Uuid>,
    /// The type's number: 0 distribute, 2 replicate, 4 disperse; 7 and 9 are the distributed ones.
    pub kind: u32,
    /// Bricks per subvolume.
    pub group: u32,
    /// How many bricks of a replica set are arbiters.
    pub arbiter_count: u32,
    /// How many bricks of a disperse set may be lost.
    pub redundancy_count: u32,
    /// The bricks in the volume's order.
    pub bricks: Vec<BrickInfo>,
    /// Option `cluster.rsync-hash-regex`, where set.
    pub rsync_hash_regex: Option<String>,
    /// Option `cluster.extra-hash-regex`, where set.
    pub extra_hash_regex: Option<String>,
}

/// One brick of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrickInfo {
    /// `HOST:/path`.
    pub name: String,
    /// Whether it holds names only (told since 3.8).
    pub arbiter: bool,
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

fn number(node: Node<'_, '_>, name: &str) -> Result<Option<u32>, String> {
    text(node, name)
        .map(|value| value.parse().map_err(|_| format!("<{name}> is {value:?}, no number")))
        .transpose()
}

/// Parses the output.
///
/// # Errors
/// A sentence on what is wrong: it is not XML, it reports a failure, or something is missing from a volume.
pub fn parse(xml: &str) -> Result<Vec<VolumeInfo>, String> {
    let options = ParsingOptions { nodes_limit: NODES_LIMIT, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(xml, options).map_err(|error| format!("it is not XML: {error}"))?;
    let root = document.root_element();
    if !root.has_tag_name("cliOutput") {
        return Err(format!("its root is <{}>, not <cliOutput>", root.tag_name().name()));
    }
    if text(root, "opRet").is_some_and(|code| code != "0") {
        let why = text(root, "opErrstr").unwrap_or("no reason given");
        return Err(format!("gluster reported a failure: {why}"));
    }
    let volumes = child(root, "volInfo")
        .and_then(|info| child(info, "volumes"))
        .ok_or("there is no <volInfo><volumes> in it, so it is not the output of `gluster volume info`")?;
    volumes.children().filter(|node| node.has_tag_name("volume")).map(volume).collect()
}

fn volume(node: Node<'_, '_>) -> Result<VolumeInfo, String> {
    let name = text(node, "name").ok_or("a volume has no <name>")?;
    let id = text(node, "id")
        .map(|id| id.parse().map_err(|_| format!("volume {name} has the id {id:?}, no UUID")))
        .transpose()?;
    let kind = number(node, "type")?.ok_or_else(|| format!("volume {name} has no <type>"))?;
    let count = |field| number(node, field).map(Option::unwrap_or_default);
    // distCount says the same for these, but counts all bricks of a volume that is only distributed.
    let group = match kind {
        2 | 7 => count("replicaCount")?,
        4 | 9 => count("disperseCount")?,
        _ => 1,
    };
    let bricks: Vec<_> = child(node, "bricks")
        .into_iter()
        .flat_map(|bricks| bricks.children().filter(|node| node.has_tag_name("brick")))
        .map(|brick| {
            let own = brick
                .children()
                .find(|part| part.is_text() && part.text().is_some_and(|t| !t.trim().is_empty()));
            let name = text(brick, "name").or_else(|| own.and_then(|own| own.text()).map(str::trim));
            let name = name.ok_or_else(|| format!("a brick of volume {name:?} has no name"))?.to_owned();
            Ok(BrickInfo { name, arbiter: text(brick, "isArbiter") == Some("1") })
        })
        .collect::<Result<_, String>>()?;
    if number(node, "brickCount")?.is_some_and(|count| count as usize != bricks.len()) {
        return Err(format!("volume {name} lists {} bricks, but counts others", bricks.len()));
    }
    let option = |wanted: &str| {
        let options = child(node, "options")?;
        let found = options.children().find(|option| {
            text(*option, "name").is_some_and(|name| name.strip_prefix("cluster.").unwrap_or(name) == wanted)
        })?;
        text(found, "value").map(str::to_owned)
    };
    Ok(VolumeInfo {
        name: name.to_owned(),
        id,
        kind,
        group,
        arbiter_count: count("arbiterCount")?,
        redundancy_count: count("redundancyCount")?,
        bricks,
        rsync_hash_regex: option("rsync-hash-regex"),
        extra_hash_regex: option("extra-hash-regex"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(body: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput><opRet>0</opRet><opErrno>0\
             </opErrno><opErrstr/><volInfo><volumes>{body}<count>1</count></volumes></volInfo></cliOutput>"
        )
    }

    const VOLUME: &str = "<volume><name>gv1</name><id>0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0</id><status>1</status>\
        <brickCount>3</brickCount><distCount>3</distCount><replicaCount>3</replicaCount><arbiterCount>1</arbiterCount>\
        <disperseCount>0</disperseCount><redundancyCount>0</redundancyCount><type>2</type><bricks>\
        <brick uuid=\"x\">fe80::1:/b/0<name>fe80::1:/b/0</name><hostUuid>x</hostUuid><isArbiter>0</isArbiter></brick>\
        <brick uuid=\"x\">fe80::1:/b/1</brick>\
        <brick uuid=\"x\">fe80::1:/b/2<name>fe80::1:/b/2</name><isArbiter>1</isArbiter></brick></bricks>\
        <options><option><name>cluster.rsync-hash-regex</name><value>none</value></option></options></volume>";

    #[test]
    fn the_fields_of_a_volume_are_read() {
        let volumes = parse(&output(VOLUME)).unwrap();
        let [volume] = volumes.as_slice() else { panic!("{volumes:?}") };
        assert_eq!((volume.kind, volume.group, volume.arbiter_count), (2, 3, 1));
        let bricks: Vec<_> = volume.bricks.iter().map(|brick| (brick.name.as_str(), brick.arbiter)).collect();
        assert_eq!(bricks, [("fe80::1:/b/0", false), ("fe80::1:/b/1", false), ("fe80::1:/b/2", true)]);
        assert_eq!(volume.rsync_hash_regex.as_deref(), Some("none"));
    }

    #[test]
    fn a_failure_or_a_cut_document_is_an_error() {
        let failure = "<cliOutput><opRet>-1</opRet><opErrstr>Volume x does not exist</opErrstr></cliOutput>";
        assert!(parse(failure).unwrap_err().contains("does not exist"));
        let whole = output(VOLUME);
        for cut in [0, 1, 60, whole.len() / 2, whole.len() - 1] {
            assert!(parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(parse("Connection failed. Please check if gluster daemon is operational.").is_err());
        assert!(parse(&output(&VOLUME.replace("<brickCount>3", "<brickCount>4"))).is_err());
    }
}
