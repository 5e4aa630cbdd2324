//! What a guest boots: a kernel and programs from Debian packages, unpacked but not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cpio::Archive;
use crate::error::{IoContext, LabError, Result};
use crate::process::{self, progress};

/// Where unpacked packages are kept for the next lab.
const CACHE: &str = "/var/cache/stillpoint-lab";

/// The kernel's modules the guest needs. One that the kernel has built in is no file, and is left out.
const MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_console"];

const INIT: &str = include_str!("init.sh");
const SHUTDOWN: &str = include_str!("shutdown.sh");

/// Unpacks what is not in the cache yet; the directory of the kernel's package, busybox's and the agent's.
fn unpacked(instance: &str) -> Result<PathBuf> {
    fs::create_dir_all(CACHE).io("create", CACHE)?;
    let lock_path = Path::new(CACHE).join("lock");
    let lock = File::create(&lock_path).io("create", &lock_path)?;
    lock.lock().io("lock", &lock_path)?;
    let ready = Path::new(CACHE).join("guest-1");
    if ready.is_dir() {
        return Ok(ready);
    }
    progress(instance, &format!("kernel, busybox and agent for the guest: download into {CACHE}"));
    let kernel = kernel_package()?;
    let staging = tempfile::Builder::new().prefix("unpack-").tempdir_in(CACHE).io("create", CACHE)?;
    let tree = staging.path().join("tree");
    for package in [kernel.as_str(), "busybox-static", "qemu-guest-agent"] {
        let downloads = staging.path().join(package);
        fs::create_dir(&downloads).io("create", &downloads)?;
        let mut command = std::process::Command::new("apt-get");
        command.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(&downloads);
        process::run(&mut command, Duration::from_secs(300))?;
        let mut files = fs::read_dir(&downloads).io("list", &downloads)?;
        let file = files.next().transpose().io("list", &downloads)?.ok_or_else(|| {
            LabError::Machine(format!("apt-get download {package} left no file in {}", downloads.display()))
        })?;
        process::host("dpkg", [Path::new("-x"), &file.path(), &tree])?;
    }
    fs::rename(&tree, &ready).io("move to its place", &ready)?;
    Ok(ready)
}

/// The package that `linux-image-cloud-amd64` stands for.
fn kernel_package() -> Result<String> {
    let ask = || process::host("apt-cache", ["depends", "linux-image-cloud-amd64"]);
    let output = match ask() {
        Ok(output) => output,
        Err(_) => {
            crate::packages::update()?;
            ask()?
        }
    };
    let names = output.stdout.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).find(|name| name.starts_with("linux-image-")).ok_or_else(|| {
        LabError::Machine(
            "apt knows no kernel package linux-image-cloud-amd64 (is this amd64 Debian?)".to_owned(),
        )
    })
}

/// Files below a directory, by name.
fn find(directory: &Path, wanted: &mut dyn FnMut(&Path)) -> Result<()> {
    for entry in fs::read_dir(directory).io("list", directory)? {
        let path = entry.io("list", directory)?.path();
        if path.is_dir() && !path.is_symlink() {
            find(&path, wanted)?;
        } else {
            wanted(&path);
        }
    }
    Ok(())
}

/// Writes the kernel and the initial file system into a directory; their paths.
pub(crate) fn build(instance: &str, directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let tree = unpacked(instance)?;
    let mut kernel = None;
    find(&tree.join("boot"), &mut |path| {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")) {
            kernel = Some(path.to_owned());
        }
    })?;
    let missing =
        |what: &str| LabError::Machine(format!("no {what} in {}; remove that directory", tree.display()));
    let kernel_copy = directory.join("vmlinuz");
    fs::copy(kernel.ok_or_else(|| missing("kernel"))?, &kernel_copy).io("write", &kernel_copy)?;

    let mut modules = BTreeMap::new();
    find(&tree.join("lib/modules"), &mut |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_suffix(".ko") {
            modules.insert(name.to_owned(), path.to_owned());
        }
    })?;
    let mut archive = Archive::default();
    let read = |path: &Path| fs::read(path).io("read", path);
    let mut order = Vec::new();
    for name in MODULES {
        add_module(name, &modules, &mut order, &mut archive)?;
    }
    let order: String = order.iter().map(|name| format!("{name}.ko\n")).collect();
    archive.file("modules/order", 0o644, order.as_bytes());

    let programs = [
        (program(&tree, "busybox")?, "bin/busybox"),
        (program(&tree, "qemu-ga")?, "sbin/qemu-ga"),
        (PathBuf::from("/sbin/mke2fs"), "sbin/mke2fs"),
    ];
    let mut libraries = BTreeSet::new();
    for (from, to) in &programs {
        archive.file(to, 0o755, &read(from)?);
        libraries.extend(libraries_of(from)?);
    }
    for library in libraries {
        archive.file(library.trim_start_matches('/'), 0o755, &read(Path::new(&library))?);
    }
    archive.file("etc/mke2fs.conf", 0o644, &read(Path::new("/etc/mke2fs.conf"))?);
    archive.file("sbin/shutdown", 0o755, SHUTDOWN.as_bytes());
    archive.file("init", 0o755, INIT.as_bytes());
    let initrd = directory.join("initrd");
    fs::write(&initrd, archive.finish()).io("write", &initrd)?;
    Ok((kernel_copy, initrd))
}

/// Adds a module behind those it depends on, unless it is there already.
fn add_module(
    name: &str,
    modules: &BTreeMap<String, PathBuf>,
    order: &mut Vec<String>,
    archive: &mut Archive,
) -> Result<()> {
    let Some(path) = modules.get(name) else { return Ok(()) };
    if order.iter().any(|known| known == name) {
        return Ok(());
    }
    let content = fs::read(path).io("read", path)?;
    for needed in dependencies(&content) {
        add_module(&needed, modules, order, archive)?;
    }
    archive.file(&format!("modules/{name}.ko"), 0o644, &content);
    order.push(name.to_owned());
    Ok(())
}

/// The modules that a module names in its `.modinfo` section, `depends=a,b` ended by a zero byte, under the names of
/// their files. The names there have `_` where a file's may have `-`; virtio's have none.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let rest = module.get(at + key.len()..).unwrap_or_default();
    let list = rest.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(list).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A program of the unpacked packages, wherever this release of Debian keeps it.
fn program(tree: &Path, name: &str) -> Result<PathBuf> {
    let places = ["bin", "sbin", "usr/bin", "usr/sbin"].map(|place| tree.join(place).join(name));
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        LabError::Machine(format!("no program {name} in {}; remove that directory", tree.display()))
    })
}

/// The shared libraries of a program, by the loader's own account.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let (status, output) = process::run_any(
        std::process::Command::new("ldd").arg(program).env("LC_ALL", "C"),
        process::ORDINARY,
    )?;
    if !status.success() {
        // "not a dynamic executable"
        return Ok(Vec::new());
    }
    if let Some(line) = output.stdout.lines().find(|line| line.contains("not found")) {
        return Err(LabError::Machine(format!(
            "{} needs {}; install that library",
            program.display(),
            line.trim()
        )));
    }
    let words =
        output.stdout.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_behind_those_it_depends_on_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut modules = BTreeMap::new();
        for (name, info) in
            [("top", "x\0depends=left,right\0y"), ("left", "\0depends=base\0"), ("right", "\0depends=base\0")]
        {
            let path = dir.path().join(name);
            fs::write(&path, info).unwrap();
            modules.insert(name.to_owned(), path);
        }
        let path = dir.path().join("base");
        fs::write(&path, "\0depends=\0").unwrap();
        modules.insert("base".to_owned(), path);
        let mut order = Vec::new();
        add_module("top", &modules, &mut order, &mut Archive::default()).unwrap();
        add_module("built-in", &modules, &mut order, &mut Archive::default()).unwrap();
        assert_eq!(order, ["base", "left", "right", "top"]);
    }
}
