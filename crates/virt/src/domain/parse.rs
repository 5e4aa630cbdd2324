//! Reading the XML.

use roxmltree::{Document, Node, ParsingOptions};

use super::{AgentChannel, Disk, Domain, Firmware, Layer, Mirror, Ready, Source, XmlError};

/// The most XML nodes of one domain: far more than libvirt lets through its own RPC limit of 4 MiB a string.
const MAX_NODES: u32 = 1 << 20;
/// The name of QEMU's guest agent's channel.
const AGENT: &str = "org.qemu.guest_agent.0";

pub(super) fn document(xml: &str) -> Result<Document<'_>, XmlError> {
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).map_err(|error| XmlError(error.to_string()))
}

pub(super) fn domain(xml: &str) -> Result<Domain, XmlError> {
    let document = document(xml)?;
    let root = document.root_element();
    if root.tag_name().name() != "domain" {
        return Err(XmlError(format!("it is a <{}>, not a <domain>", root.tag_name().name())));
    }
    let uuid = child_text(root, "uuid").unwrap_or_default();
    let uuid = uuid.trim().parse().map_err(|_| XmlError(format!("{uuid:?} is no UUID")))?;
    let name = child_text(root, "name").ok_or_else(|| XmlError("it has no name".into()))?.to_owned();
    let mut disks = Vec::new();
    for disk in devices(root).filter(|device| device.has_tag_name("disk")) {
        disks.push(self::disk(disk)?);
    }
    Ok(Domain {
        uuid,
        name,
        id: root.attribute("id").and_then(|id| id.parse().ok()),
        disks,
        agent: agent(root),
        memory: child(root, "memory").and_then(memory),
        firmware: firmware(root),
        passthrough: devices(root).any(|device| device.has_tag_name("hostdev")),
        security_models: elements(root)
            .filter(|node| node.has_tag_name("seclabel"))
            .filter_map(|node| node.attribute("model").map(str::to_owned))
            .collect(),
    })
}

fn disk(node: Node<'_, '_>) -> Result<Disk, XmlError> {
    let target = child(node, "target")
        .and_then(|target| target.attribute("dev"))
        .ok_or_else(|| XmlError("a disk has no target".into()))?;
    Ok(Disk {
        target: target.to_owned(),
        device: node.attribute("device").unwrap_or("disk").to_owned(),
        source: source(node.attribute("type"), child(node, "source")),
        format: child(node, "driver").and_then(|driver| driver.attribute("type")).map(str::to_owned),
        readonly: child(node, "readonly").is_some(),
        shareable: child(node, "shareable").is_some(),
        transient: child(node, "transient").is_some(),
        backing: backing(node),
        mirror: child(node, "mirror").map(mirror),
    })
}

fn backing(disk: Node<'_, '_>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut at = child(disk, "backingStore");
    while let Some(layer) = at {
        // `<backingStore/>` ends the chain.
        if layer.attribute("type").is_none() {
            break;
        }
        layers.push(Layer {
            source: source(layer.attribute("type"), child(layer, "source")),
            format: child(layer, "format").and_then(|format| format.attribute("type")).map(str::to_owned),
        });
        at = child(layer, "backingStore");
    }
    layers
}

fn mirror(node: Node<'_, '_>) -> Mirror {
    let nested = child(node, "source").and_then(|source| source.attribute("file"));
    Mirror {
        job: node.attribute("job").unwrap_or("copy").to_owned(),
        ready: match node.attribute("ready") {
            Some("yes") => Ready::Yes,
            Some("pivot") => Ready::Pivot,
            Some("abort") => Ready::Abort,
            _ => Ready::No,
        },
        source: nested.or(node.attribute("file")).map(Into::into),
    }
}

fn source(kind: Option<&str>, node: Option<Node<'_, '_>>) -> Source {
    let get = |name: &str| node.and_then(|node| node.attribute(name));
    let text = |name: &str| get(name).unwrap_or_default().to_owned();
    match kind {
        Some("file") | None => get("file").map_or(Source::Empty, |path| Source::File(path.into())),
        Some("block") => get("dev").map_or(Source::Empty, |path| Source::Block(path.into())),
        Some("network") => Source::Network { protocol: text("protocol"), name: text("name") },
        Some("volume") => Source::Volume { pool: text("pool"), volume: text("volume") },
        Some(other) => Source::Other(other.to_owned()),
    }
}

/// In libvirt's units: KiB where none is told, powers of 1024 but for those that end in `B` alone.
fn memory(node: Node<'_, '_>) -> Option<u64> {
    let number: u64 = node.text()?.trim().parse().ok()?;
    let unit = match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn firmware(root: Node<'_, '_>) -> Firmware {
    let Some(os) = child(root, "os") else { return Firmware::default() };
    let loader = child(os, "loader").and_then(|loader| loader.attribute("type"));
    Firmware {
        flash: loader == Some("pflash") || os.attribute("firmware") == Some("efi"),
        variables: child(os, "nvram").map(|file| file.attribute("format").unwrap_or("raw").to_owned()),
    }
}

fn agent(root: Node<'_, '_>) -> AgentChannel {
    let target = devices(root)
        .filter(|device| device.has_tag_name("channel"))
        .filter_map(|channel| child(channel, "target"))
        .find(|target| target.attribute("name") == Some(AGENT));
    match target.map(|target| target.attribute("state")) {
        None => AgentChannel::Absent,
        Some(Some("connected")) => AgentChannel::Connected,
        Some(Some("disconnected")) => AgentChannel::Disconnected,
        Some(_) => AgentChannel::Unknown,
    }
}

pub(super) fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

pub(super) fn devices<'a, 'input>(root: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    child(root, "devices").into_iter().flat_map(elements)
}

pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    elements(node).find(|child| child.has_tag_name(name))
}

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text())
}
