//! Making a site: its namespaces, and the private directories in place of the machine's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PATH, Site, TMPDIR};
use crate::config::{SiteName, VolumeConfig};
use crate::error::{IoContext, LabError, Result};
use crate::instance::{self, Paths, ROOT};
use crate::lock::Lock;
use crate::process::{self, Namespace, ORDINARY};

/// The site's first process; see the file.
const INIT: &str = include_str!("init.py");

/// Private directories: the name under `private/`, and what they stand in for.
const PRIVATE: [(&str, &str); 9] = [
    ("glusterd", "/var/lib/glusterd"),
    ("log-glusterfs", "/var/log/glusterfs"),
    ("misc-gluster", "/var/lib/misc/gluster"),
    ("ssh", "/root/.ssh"),
    ("etc-libvirt", "/etc/libvirt"),
    ("lib-libvirt", "/var/lib/libvirt"),
    ("log-libvirt", "/var/log/libvirt"),
    ("stillpoint", "/var/lib/stillpoint"),
    ("mnt", "/mnt"),
];

/// Starts the site's first process and gives it the site's file tree.
pub(crate) fn start(
    instance_name: &str,
    name: SiteName,
    paths: &Paths,
    subnet: u8,
    volume: VolumeConfig,
) -> Result<Site> {
    fill_private_directories(name, paths, subnet)?;
    let init_script = paths.init_script(name);
    fs::write(&init_script, INIT).io("write", &init_script)?;
    let socket = paths.init_socket(name);
    let log = paths.site(name).join("init.log");
    let namespace = instance::link_name(instance_name, name);
    // Through a shell that ends at once, so that the site does not depend on this process.
    let script = "setsid ip netns exec \"$1\" unshare --mount --uts /usr/bin/python3 \"$2\" \"$3\" \
                  </dev/null >\"$4\" 2>&1 & echo $!";
    let output = process::run(
        Command::new("bash")
            .args(["-c", script, "bash", &namespace])
            .args([&init_script, &socket, &log])
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .env("TMPDIR", TMPDIR)
            .env_remove("PYTHONPATH")
            .env_remove("PYTHONHOME")
            .current_dir("/"),
        ORDINARY,
    )?;
    let pid: u32 = output.stdout.trim().parse().map_err(|_| {
        LabError::Invalid(format!("the first process of {name} has no id: {:?}", output.stdout))
    })?;
    let our_mounts = Namespace::of("/proc/self/ns/mnt");
    let network = Namespace::of(Path::new("/run/netns").join(&namespace));
    let init = process::wait_for(
        &format!("{name}'s first process"),
        Duration::from_secs(20),
        Duration::from_millis(20),
        || {
            let Some(found) = process::alive(pid) else {
                return Err(LabError::Command {
                    command: format!("ip netns exec {namespace} unshare … python3 init.py"),
                    status: "ended".to_owned(),
                    output: fs::read_to_string(&log).unwrap_or_default(),
                });
            };
            let listening = socket.exists();
            let own_mounts = Namespace::of(format!("/proc/{pid}/ns/mnt")) != our_mounts;
            let own_network = Namespace::of(format!("/proc/{pid}/ns/net")) == network;
            Ok(if listening && own_mounts && own_network { Ok(found) } else { Err("starting".to_owned()) })
        },
    )?;
    let site = Site { name, instance: instance_name.to_owned(), paths: paths.clone(), init, volume };
    site.sh(&tree_script(name, paths))?;
    Ok(site)
}

/// Takes the other labs' file systems out of this site's mount namespace: they could not be freed otherwise.
fn clean_others_mounts_script(own: &Path) -> String {
    format!(
        "awk -v root={ROOT}/ -v own={}/ 'index($5, root) == 1 && index($5 \"/\", own) != 1 {{ print $5 }}' \
         /proc/self/mountinfo | while read -r place; do umount -l \"$place\" || true; done\n",
        own.display()
    )
}

fn tree_script(name: SiteName, paths: &Paths) -> String {
    let mut script = format!("set -eu\nhostname {}\nmount --make-rprivate /\n", name.host());
    script += &clean_others_mounts_script(paths.root());
    script += "mount -t tmpfs -o mode=755 tmpfs /run\n";
    script += &format!(
        "mkdir -p /run/gluster /run/libvirt /run/sshd /run/user && mkdir -m 1777 /run/lock {TMPDIR}\n"
    );
    for (private, place) in PRIVATE {
        script += &format!("mount --bind {} {place}\n", paths.private(name, private).display());
    }
    script += &format!("mount --bind {} /etc/hosts\n", paths.private(name, "hosts").display());
    // A login shell's start-up file may put other programs first in the search path, also over ssh.
    script += &format!(
        "if [ -e /root/.bashrc ]; then mount --bind {} /root/.bashrc; fi\n",
        paths.private(name, "bashrc").display()
    );
    script
}

/// The list of directories that labs have made on the host to mount on, a line each.
fn made_places() -> PathBuf {
    Path::new(ROOT).join(".made")
}

/// Makes a directory to mount on where the machine has none, and notes it.
fn make_place(place: &Path) -> Result<()> {
    if place.exists() {
        return Ok(());
    }
    let _all = Lock::of_all()?;
    let missing: Vec<&Path> = place.ancestors().take_while(|above| !above.exists()).collect();
    let list = made_places();
    let mut file = fs::File::options().append(true).create(true).open(&list).io("open", &list)?;
    for directory in missing.into_iter().rev() {
        writeln!(file, "{}", directory.display()).io("write", &list)?;
        fs::create_dir(directory).io("create", directory)?;
    }
    Ok(())
}

/// Removes the directories that labs have made on the host to mount on, if they are empty. To be called under the lock
/// of all labs, when there are none: a directory that is removed takes others' mounts on it along.
pub(crate) fn remove_made_places() -> Result<()> {
    let list = made_places();
    let text = match fs::read_to_string(&list) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).io("read", list),
    };
    for directory in text.lines().rev() {
        let _ = fs::remove_dir(directory);
    }
    fs::remove_file(&list).io("remove", list)
}

fn fill_private_directories(name: SiteName, paths: &Paths, subnet: u8) -> Result<()> {
    for (private, place) in PRIVATE {
        let directory = paths.private(name, private);
        fs::create_dir_all(&directory).io("create", &directory)?;
        make_place(Path::new(place))?;
    }
    let own = |what: &str| paths.private(name, what);
    let restrict = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).io("set the mode of", path)
    };
    restrict(&own("ssh"), 0o700)?;
    fs::write(own("bashrc"), "").io("write", own("bashrc"))?;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for site in SiteName::ALL {
        hosts += &format!("{} {}\n", instance::address(subnet, site), site.host());
    }
    fs::write(own("hosts"), hosts).io("write", own("hosts"))?;
    for pristine in ["hooks", "groups"] {
        let from = Path::new("/var/lib/glusterd").join(pristine);
        process::host("cp", [Path::new("-a"), &from, &own("glusterd")])?;
    }
    fill_libvirt(&own("etc-libvirt"), &own("lib-libvirt"))
}

/// The machine's configuration of libvirt without its guests and networks, and with ours.
fn fill_libvirt(etc: &Path, lib: &Path) -> Result<()> {
    process::host("cp", [Path::new("-a"), Path::new("/etc/libvirt/."), etc])?;
    for kept_by_others in ["qemu", "storage", "secrets", "hooks", "nwfilter"] {
        let path = etc.join(kept_by_others);
        if path.is_dir() {
            fs::remove_dir_all(&path).io("empty", &path)?;
        }
    }
    for needed in ["qemu", "images", "boot", "dnsmasq", "lockd", "sanlock"] {
        fs::create_dir_all(lib.join(needed)).io("create", lib.join(needed))?;
    }
    let qemu = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nremember_owner = 0\n\
                namespaces = []\ncgroup_controllers = []\n";
    fs::write(etc.join("qemu.conf"), qemu).io("write", etc.join("qemu.conf"))?;
    // The guest's console is read as one file: no roll-over.
    fs::write(etc.join("virtlogd.conf"), "max_size = 0\n").io("write", etc.join("virtlogd.conf"))?;
    let libvirtd = "unix_sock_group = \"root\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
                    log_filters = \"1:qemu.qemu_monitor 3:rpc 3:event\"\n\
                    log_outputs = \"2:file:/var/log/libvirt/libvirtd.log\"\n";
    fs::write(etc.join("libvirtd.conf"), libvirtd).io("write", etc.join("libvirtd.conf"))
}
