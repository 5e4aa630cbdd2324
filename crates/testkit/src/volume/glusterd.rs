//! What glusterd writes and prints about the volume.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::trees::BrickTrees;

/// The host that all bricks are said to be on.
const HOST: &str = "siteA";

impl BrickTrees {
    /// The brick's name in the volume: `siteA:/path`.
    #[must_use]
    pub fn brick_name(&self, number: usize) -> String {
        format!("{HOST}:{}", self.brick(number).display())
    }

    /// Writes glusterd's directory of the volume to `dir`, which must not exist: `info` and `bricks/`. It has
    /// credentials in it, as a real one does.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_glusterd_directory(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir(dir)?;
        std::fs::create_dir(dir.join("bricks"))?;
        let replicated = self.shape.replicas > 1;
        let mut info = format!(
            "type={}\ncount={}\nstatus=1\nsub_count={}\n",
            match (self.is_dispersed(), replicated) {
                (true, _) => 4,
                (false, true) => 2,
                (false, false) => 0,
            },
            self.bricks.len(),
            self.shape.replicas
        );
        let arbiters = u8::from(self.shape.arbiter);
        let (replicas, fragments) =
            if self.is_dispersed() { (1, self.shape.replicas) } else { (self.shape.replicas, 0) };
        let text = format!(
            "replica_count={replicas}\narbiter_count={arbiters}\ndisperse_count={fragments}\nredundancy_count={}\nversion=3\n\
             transport-type=0\nvolume-id={}\nusername=USER-NEVER-SHOWN\npassword=PASSWORD-NEVER-SHOWN\nop-version=110000\n\
             client-op-version=70000\nfeatures.shard=on\nfeatures.shard-block-size={}\n",
            self.shape.redundancy, self.id, self.shape.shard_size
        );
        info.push_str(&text);
        for number in 0..self.bricks.len() {
            let path = self.brick(number).display().to_string();
            let file = format!("{HOST}:{}", path.replace('/', "-"));
            info.push_str(&format!("brick-{number}={file}\n"));
            let brick = format!(
                "uuid=11111111-2222-3333-4444-555555555555\nhostname={HOST}\npath={path}\nreal_path={path}\n\
                 listen-port=0\nrdma.listen-port=0\ndecommissioned=0\nbrick-id={}\nmount_dir=/b\nsnap-status=0\nbrick-fsid=0\n",
                self.client(number)
            );
            std::fs::write(dir.join("bricks").join(file), brick)?;
        }
        std::fs::write(dir.join("info"), info)
    }

    /// The volfile that glusterd gives to a trusted client, with credentials in it.
    #[must_use]
    pub fn client_volfile(&self) -> String {
        let name = &self.shape.name;
        let mut text = String::new();
        let mut write = |volume: &str, kind: &str, options: &[(&str, String)], below: &[String]| {
            write!(text, "volume {volume}\n    type {kind}\n").unwrap_or_default();
            for (key, value) in options {
                writeln!(text, "    option {key} {value}").unwrap_or_default();
            }
            if !below.is_empty() {
                writeln!(text, "    subvolumes {}", below.join(" ")).unwrap_or_default();
            }
            text.push_str("end-volume\n\n");
        };
        let mut subvolumes = Vec::new();
        for subvolume in 0..self.shape.subvolumes {
            let clients: Vec<String> = self.members(subvolume).map(|number| self.client(number)).collect();
            for (number, client) in self.members(subvolume).zip(&clients) {
                let options = [
                    ("password", "PASSWORD-NEVER-SHOWN".to_owned()),
                    ("username", "USER-NEVER-SHOWN".to_owned()),
                    ("remote-subvolume", self.brick(number).display().to_string()),
                    ("remote-host", HOST.to_owned()),
                ];
                write(client, "protocol/client", &options, &[]);
            }
            let set = self.subvolume(subvolume);
            if self.shape.replicas > 1 {
                let mut options =
                    vec![("volume-id", self.id.to_string()), ("afr-pending-xattr", clients.join(","))];
                if self.shape.arbiter {
                    options.push(("arbiter-count", "1".to_owned()));
                }
                write(&set, "cluster/replicate", &options, &clients);
            }
            subvolumes.push(set);
        }
        write(&format!("{name}-dht"), "cluster/distribute", &[], &subvolumes);
        let shard_size = [("shard-block-size", self.shape.shard_size.to_string())];
        write(&format!("{name}-shard"), "features/shard", &shard_size, &[format!("{name}-dht")]);
        write(name, "debug/io-stats", &[], &[format!("{name}-shard")]);
        text
    }

    /// The output of `gluster volume info --xml`.
    #[must_use]
    pub fn volume_info_xml(&self) -> String {
        let per_set = self.shape.replicas;
        let kind = match (per_set > 1, self.is_dispersed(), self.shape.subvolumes > 1) {
            (false, ..) => 0,
            (true, false, false) => 2,
            (true, false, true) => 7,
            (true, true, false) => 4,
            (true, true, true) => 9,
        };
        let (replicas, fragments) = if self.is_dispersed() { (1, per_set) } else { (per_set, 0) };
        let per_subvolume = if per_set > 1 { per_set } else { self.bricks.len() };
        let mut bricks = String::new();
        for number in 0..self.bricks.len() {
            let name = self.brick_name(number);
            let arbiter = u8::from(self.is_arbiter(number));
            write!(
                bricks,
                "<brick uuid=\"11111111-2222-3333-4444-555555555555\">{name}<name>{name}</name>\
                 <hostUuid>11111111-2222-3333-4444-555555555555</hostUuid><isArbiter>{arbiter}</isArbiter></brick>"
            )
            .unwrap_or_default();
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput><opRet>0</opRet><opErrno>0</opErrno>\
             <opErrstr/><volInfo><volumes><volume><name>{}</name><id>{}</id><status>1</status><statusStr>Started</statusStr>\
             <snapshotCount>0</snapshotCount><brickCount>{}</brickCount><distCount>{per_subvolume}</distCount>\
             <replicaCount>{replicas}</replicaCount><arbiterCount>{}</arbiterCount><disperseCount>{fragments}</disperseCount>\
             <redundancyCount>{}</redundancyCount><type>{kind}</type><transport>0</transport><bricks>{bricks}</bricks>\
             <optCount>1</optCount><options><option><name>features.shard</name><value>on</value></option></options>\
             </volume><count>1</count></volumes></volInfo></cliOutput>\n",
            self.shape.name,
            self.id,
            self.bricks.len(),
            u8::from(self.shape.arbiter),
            self.shape.redundancy
        )
    }
}
