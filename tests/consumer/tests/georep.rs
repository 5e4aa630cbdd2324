//! `stillpoint-georep`: a runner of our own, which here replays what Gluster 11 answers, carries a session.

use std::sync::{Arc, Mutex};

use stillpoint_georep::{
    CliErrorKind, Error, Limit, Output, RunError, Runner, Session, SessionName, Side, VolumeKind,
    WorkerStatus,
};

/// Answers by what is asked; keeps what was asked.
#[derive(Debug, Default)]
struct Replay {
    asked: Mutex<Vec<String>>,
    session_is_there: bool,
}

impl Runner for Replay {
    fn run(&self, argv: &[&str], _: &Limit<'_>) -> Result<Output, RunError> {
        let line = argv.join(" ");
        let answer = match &line {
            line if line.contains("geo-replication") && !self.session_is_there => NO_SESSION,
            line if line.contains("geo-replication") && line.contains("status") => STATUS,
            line if line.contains("volume info") => VOLUME_INFO,
            _ => "",
        };
        self.asked.lock().expect("no panic while it is held").push(line);
        Ok(Output { code: Some(0), stdout: answer.into(), ..Output::default() })
    }
}

const NO_SESSION: &str = "<?xml version='1.0'?><cliOutput><opRet>-1</opRet><opErrno>30800</opErrno>\
    <opErrstr>Geo-replication session between gv1 and siteB::gv2 does not exist.</opErrstr></cliOutput>";

const VOLUME_INFO: &str = "<?xml version='1.0'?><cliOutput><opRet>0</opRet><opErrno>0</opErrno><opErrstr/>\
    <volInfo><volumes><volume><name>gv1</name><id>3a5a5f4e-9b6c-4b1e-8d54-0d8a53d1f0aa</id><status>1</status>\
    <statusStr>Started</statusStr><brickCount>2</brickCount><distCount>2</distCount><replicaCount>2</replicaCount>\
    <arbiterCount>0</arbiterCount><disperseCount>0</disperseCount><redundancyCount>0</redundancyCount><type>2</type>\
    <typeStr>Replicate</typeStr><transport>0</transport><bricks>\
    <brick uuid='8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11'>siteA:/bricks/b0<name>siteA:/bricks/b0</name>\
    <hostUuid>8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11</hostUuid><isArbiter>0</isArbiter></brick>\
    <brick uuid='8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11'>siteA:/bricks/b1<name>siteA:/bricks/b1</name>\
    <hostUuid>8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11</hostUuid><isArbiter>0</isArbiter></brick></bricks>\
    <optCount>2</optCount><options><option><name>features.shard</name><value>on</value></option>\
    <option><name>features.shard-block-size</name><value>4MB</value></option></options></volume><count>1</count>\
    </volumes></volInfo></cliOutput>";

/// One row only: the other brick's node tells nothing.
const STATUS: &str = "<?xml version='1.0'?><cliOutput><opRet>0</opRet><opErrno>0</opErrno><opErrstr/><geoRep><volume>\
    <name>gv1</name><sessions><session><session_secondary>8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11:ssh://siteB::gv2:\
    5b8f4a5e-1d8f-4c58-9a9c-6f7c6c1f2b22</session_secondary><pair><primary_node>siteA</primary_node>\
    <primary_brick>/bricks/b0</primary_brick><secondary_user>root</secondary_user><secondary>ssh://siteB::gv2</secondary>\
    <secondary_node>siteB</secondary_node><status>Active</status><crawl_status>Changelog Crawl</crawl_status>\
    <entry>0</entry><data>3</data><meta>0</meta><failures>0</failures><checkpoint_completed>N/A</checkpoint_completed>\
    <primary_node_uuid>8ad1b1fd-0f3b-4e57-8f5e-1c7f3d1d1f11</primary_node_uuid>\
    <last_synced>2026-11-23 05:09:17</last_synced><checkpoint_time>N/A</checkpoint_time>\
    <checkpoint_completion_time>N/A</checkpoint_completion_time></pair></session></sessions></volume></geoRep></cliOutput>";

fn session(session_is_there: bool) -> (Session, Arc<Replay>) {
    let runner = Arc::new(Replay { session_is_there, ..Replay::default() });
    let name: SessionName = "gv1 siteB::gv2".parse().expect("a session's name");
    (Session::new(Arc::clone(&runner) as Arc<dyn Runner>, name), runner)
}

#[test]
fn a_session_has_its_name_in_either_form() {
    let name: SessionName = "gv1::siteB::gv2".parse().expect("a session's name");
    assert_eq!(name.to_string(), "gv1 siteB::gv2");
    assert_eq!(
        (name.primary_volume(), name.secondary_host(), name.secondary_volume()),
        ("gv1", "siteB", "gv2")
    );
    assert!("gv1".parse::<SessionName>().is_err());
}

#[test]
fn a_brick_whose_node_tells_nothing_has_a_row_without_a_worker() {
    let (session, _) = session(true);
    let volume = session.volume_info(Side::Primary).expect("told");
    assert_eq!((volume.name.as_str(), volume.shard_size()), ("gv1", Some(4 << 20)));
    assert!(volume.started && volume.kind == VolumeKind::Replicate);
    let status = session.status().expect("told");
    assert_eq!(status.rows.len(), 2);
    assert!(!status.all_stopped());
    assert!(status.rows.iter().any(|row| row.status() == Some(&WorkerStatus::Active)));
    assert!(status.rows.iter().any(|row| row.worker.is_none()));
}

#[test]
fn a_failure_that_exits_with_0_is_told_by_its_text() {
    let (session, replay) = session(false);
    let error = session.status().expect_err("there is no session");
    let Error::Cli(error) = &error else { panic!("{error}") };
    assert_eq!(error.kind, CliErrorKind::Absent);
    let asked = replay.asked.lock().expect("no panic while it is held");
    assert!(asked.iter().all(|line| line.starts_with("gluster ") && line.contains("--xml")), "{asked:?}");
}
