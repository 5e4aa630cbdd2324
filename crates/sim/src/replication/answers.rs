//! What the `gluster` command prints, from the model.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::behaviour::Behaviour;
use super::model::{Model, State};

const NODE: &str = "34bac937-ea19-415a-8583-910908cfb5e1";
const FAR_NODE: &str = "df3360e7-87ce-40cd-a00c-8f1ff973cefc";
const FAR_VOLUME: &str = "e4e3f96c-ace9-4388-8250-cbf8f44fe9d2";

/// The answer to a command.
pub(super) fn answer(model: &mut Model, argv: &[&str]) -> String {
    if argv.first() == Some(&"ssh-keyscan") {
        let cut = model.behaviour == Behaviour::LinkCut && model.is_running();
        return if cut { String::new() } else { "# siteB:22 SSH-2.0-OpenSSH_9.2p1\n".to_owned() };
    }
    let words: Vec<&str> =
        argv.iter().copied().filter(|w| !w.starts_with("--") || *w == "--xml").skip(1).collect();
    let (primary, far) = (model.name.primary_volume().to_owned(), model.name.secondary_volume().to_owned());
    match words.as_slice() {
        ["volume", "info", volume, "--xml"] if *volume == primary => info(&near(model)),
        ["volume", "info", volume, "--xml"] if *volume == far => info(&secondary(model)),
        ["volume", "info", _, "--xml"] => refusal("Volume does not exist"),
        ["volume", "status", volume, "--xml"] if *volume == primary => bricks_up(volume, &near(model)),
        ["volume", "status", volume, "detail", "--xml"] if *volume == far => {
            let free = format!("<sizeTotal>1000000000</sizeTotal><sizeFree>{}</sizeFree>", model.far_free);
            bricks_up(volume, &secondary(model)).replace("</node>", &format!("{free}</node>"))
        }
        ["volume", "status", volume, "--xml"] if *volume == far => bricks_up(volume, &secondary(model)),
        ["volume", "heal", volume, "info", "summary", "--xml"] if *volume == primary => heal(&near(model)),
        ["volume", "set", volume, option, value, "--xml"] if *volume == primary => {
            model.options.insert((*option).to_owned(), (*value).to_owned());
            document("<volSet/>")
        }
        ["volume", "geo-replication", volume, whose, rest @ ..] => {
            if *volume != primary || *whose != model.name.secondary() {
                return "geo-replication command failed\n".to_owned();
            }
            session(model, rest)
        }
        _ => "unrecognized command\n".to_owned(),
    }
}

fn session(model: &mut Model, words: &[&str]) -> String {
    match words {
        ["status", "detail", "--xml"] => status(model),
        ["status"] => "PRIMARY NODE    PRIMARY VOL\n".to_owned(),
        ["config", "--xml"] => {
            let mut options = String::new();
            for (name, value) in &model.config {
                let name = name.replace('-', "_");
                let _ = write!(options, "<{name}>{}</{name}>", escape(value));
            }
            document(&model.vocabulary.speak(&format!("<geoRep><config>{options}</config></geoRep>")))
        }
        ["config", "checkpoint", "now", "--xml"] => {
            let now = model.wall_clock().as_second().to_string();
            model.config.insert("checkpoint".to_owned(), now);
            updated()
        }
        ["config", option, value, "--xml"] => {
            if !model.config.contains_key(*option) {
                return refusal("Invalid option");
            }
            model.config.insert((*option).to_owned(), (*value).to_owned());
            updated()
        }
        ["start", "--xml"] if model.is_running() => refusal(&format!(
            "geo-replication session between {} & {} already started",
            model.name.primary_volume(),
            model.name.secondary()
        )),
        ["start", "--xml"] => {
            model.start();
            done(model, "")
        }
        ["stop", "--xml"] if !model.is_running() => done(model, "geo-replication is not set up"),
        ["stop", "--xml"] | ["stop", "force", "--xml"] => {
            model.stop();
            done(model, "")
        }
        _ => "unrecognized command\n".to_owned(),
    }
}

fn document(body: &str) -> String {
    report(0, 0, "", body)
}

pub(super) fn refusal(why: &str) -> String {
    report(-1, 30800, why, "<geoRep/>")
}

fn report(code: i32, errno: i32, said: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput>\n  <opRet>{code}</opRet>\n  \
         <opErrno>{errno}</opErrno>\n  <opErrstr>{}</opErrstr>\n  {body}\n</cliOutput>\n",
        escape(said)
    )
}

fn updated() -> String {
    document(
        "<geoRep><config><message>geo-replication config updated successfully</message></config></geoRep>",
    )
}

fn done(model: &Model, said: &str) -> String {
    let name = &model.name;
    let ends = format!(
        "<primary>{}</primary><secondary>{}</secondary>",
        name.primary_volume(),
        escape(&name.secondary())
    );
    report(0, 0, said, &model.vocabulary.speak(&format!("<geoRep>{ends}</geoRep>")))
}

struct VolumeModel {
    name: String,
    id: &'static str,
    node: &'static str,
    replica: usize,
    bricks: Vec<String>,
    options: Vec<(String, String)>,
}

fn near(model: &Model) -> VolumeModel {
    VolumeModel {
        name: model.name.primary_volume().to_owned(),
        id: "dcdf520e-c560-4828-8ad7-dedb3a73985c",
        node: NODE,
        replica: model.replica,
        bricks: model.bricks.iter().map(ToString::to_string).collect(),
        options: model.options.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

fn secondary(model: &Model) -> VolumeModel {
    let own = |k: &str| model.options.get(k).map(|v| (k.to_owned(), v.clone()));
    VolumeModel {
        name: model.name.secondary_volume().to_owned(),
        id: FAR_VOLUME,
        node: FAR_NODE,
        replica: 1,
        bricks: (0..2).map(|i| format!("{}:/bricks/b{i}", model.name.secondary_host())).collect(),
        options: [Some(("features.read-only".to_owned(), "on".to_owned()))]
            .into_iter()
            .chain([own("features.shard"), own("features.shard-block-size")])
            .flatten()
            .collect(),
    }
}

fn info(volume: &VolumeModel) -> String {
    let count = volume.bricks.len();
    let (number, per_set) = match volume.replica {
        1 => (0, count),
        replica if replica == count => (2, replica),
        replica => (7, replica),
    };
    let mut bricks = String::new();
    for brick in &volume.bricks {
        let (brick, node) = (escape(brick), volume.node);
        let _ = write!(
            bricks,
            "<brick uuid=\"{node}\">{brick}<name>{brick}</name><hostUuid>{node}</hostUuid><isArbiter>0</isArbiter></brick>"
        );
    }
    let mut options = String::new();
    for (name, value) in &volume.options {
        let _ =
            write!(options, "<option><name>{}</name><value>{}</value></option>", escape(name), escape(value));
    }
    document(&format!(
        "<volInfo><volumes><volume><name>{}</name><id>{}</id><status>1</status><statusStr>Started</statusStr>\
         <brickCount>{count}</brickCount><distCount>{per_set}</distCount><replicaCount>{}</replicaCount>\
         <arbiterCount>0</arbiterCount><disperseCount>0</disperseCount><redundancyCount>0</redundancyCount>\
         <type>{number}</type><transport>0</transport><bricks>{bricks}</bricks><options>{options}</options></volume>\
         <count>1</count></volumes></volInfo>",
        escape(&volume.name),
        volume.id,
        volume.replica,
    ))
}

fn bricks_up(name: &str, volume: &VolumeModel) -> String {
    let mut nodes = String::new();
    for brick in &volume.bricks {
        let (host, path) = brick.split_at(brick.rfind(":/").unwrap_or(0));
        let path = escape(path.trim_start_matches(':'));
        let _ = write!(
            nodes,
            "<node><hostname>{}</hostname><path>{path}</path><peerid>{}</peerid><status>1</status></node>",
            escape(host),
            volume.node
        );
    }
    let name = escape(name);
    document(&format!(
        "<volStatus><volumes><volume><volName>{name}</volName>{nodes}<tasks/></volume></volumes></volStatus>"
    ))
}

fn heal(volume: &VolumeModel) -> String {
    let mut bricks = String::new();
    for brick in &volume.bricks {
        let _ = write!(
            bricks,
            "<brick hostUuid=\"{}\"><name>{}</name><status>Connected</status>\
             <totalNumberOfEntries>0</totalNumberOfEntries><numberOfEntriesInHealPending>0</numberOfEntriesInHealPending>\
             <numberOfEntriesInSplitBrain>0</numberOfEntriesInSplitBrain></brick>",
            volume.node,
            escape(brick)
        );
    }
    document(&format!("<healInfo><bricks>{bricks}</bricks></healInfo>"))
}

fn status(model: &Model) -> String {
    let mut pairs = String::new();
    // Rows are not in the volume's order.
    for index in (0..model.bricks.len()).rev() {
        if !matches!(model.behaviour, Behaviour::Offline { brick } if brick == index && model.is_running()) {
            pairs.push_str(&pair(model, index));
        }
    }
    let far = escape(&model.name.secondary());
    model.vocabulary.speak(&document(&format!(
        "<geoRep><volume><name>{}</name><sessions><session><session_secondary>{NODE}:ssh://{far}:{FAR_VOLUME}\
         </session_secondary>{pairs}</session></sessions></volume></geoRep>",
        escape(model.name.primary_volume()),
    )))
}

fn pair(model: &Model, index: usize) -> String {
    let (Some(brick), Some(worker)) = (model.bricks.get(index), model.workers.get(index)) else {
        return String::new();
    };
    let status = model.worker_status(index);
    let active = status == "Active";
    let na = "N/A".to_owned();
    let told = |text: String| if active { text } else { na.clone() };
    let checkpoint = model.config.get("checkpoint").and_then(|c| c.parse::<i64>().ok()).filter(|c| *c > 0);
    let reached = checkpoint.is_some_and(|c| c <= worker.last_synced);
    let time = |second: i64| match Timestamp::from_second(second) {
        Ok(at) if second > 0 => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => na.clone(),
    };
    let crawl = match model.state {
        State::Started(since) if model.now.saturating_sub(since).as_secs() < 20 => "History Crawl",
        _ => "Changelog Crawl",
    };
    let completed = match (checkpoint, reached) {
        (None, _) => "N/A",
        (_, true) => "Yes",
        (_, false) => "No",
    };
    format!(
        "<pair><primary_node>{}</primary_node><primary_brick>{}</primary_brick><secondary_user>root</secondary_user>\
         <secondary>{}</secondary><secondary_node/><status>{status}</status><crawl_status>{}</crawl_status>\
         <entry>{}</entry><data>{}</data><meta>{}</meta><failures>{}</failures>\
         <checkpoint_completed>{}</checkpoint_completed><primary_node_uuid>{NODE}</primary_node_uuid>\
         <last_synced>{}</last_synced><checkpoint_time>{}</checkpoint_time>\
         <checkpoint_completion_time>{}</checkpoint_completion_time></pair>",
        escape(&brick.host),
        escape(&brick.path),
        escape(&model.name.secondary()),
        told(crawl.to_owned()),
        told("0".to_owned()),
        told("0".to_owned()),
        told("0".to_owned()),
        told(worker.failures.to_string()),
        told(completed.to_owned()),
        told(time(worker.last_synced)),
        told(time(checkpoint.unwrap_or(0))),
        told(if reached { time(worker.last_synced) } else { na.clone() }),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
