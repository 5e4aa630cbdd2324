//! Reading straight from the bricks, with the mount and qemu-img as oracles.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stillpoint_lab::{Site, SiteName};

use crate::lab::{Stage, finish};

/// A path on a site's mount, as the host reaches it.
fn on_mount(site: &Site, path: &Path) -> PathBuf {
    site.host_mount().join(path)
}

/// Live facts: an image behind FUSE and its shards have their own allocation.
fn without_live_facts(mut info: Value) -> Value {
    match &mut info {
        Value::Object(map) => {
            map.remove("actual-size");
            map.values_mut().for_each(|value| *value = without_live_facts(value.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| *value = without_live_facts(value.take())),
        _ => {}
    }
    info
}

pub(crate) fn info(stage: &Stage) -> Result<()> {
    let site = stage.lab.site(SiteName::A);
    let mount = site.mount();
    let (sizes, widths) = if std::env::var_os("STILLPOINT_FULL").is_some() {
        ("512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M", "1 2 4 8 16 32 64")
    } else {
        ("512 4k 64k 2M", "1 16 64")
    };
    // All on the volume: what the guest has, and images of many kinds.
    let script = format!(
        "set -e; mkdir -p {0}/info; cd {0}/info; rm -f *
         for s in {sizes}; do qemu-img create -q -f qcow2 -o cluster_size=$s c$s.qcow2 20M; done
         for r in {widths}; do qemu-img create -q -f qcow2 -o refcount_bits=$r r$r.qcow2 20M; done
         qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 20M
         qemu-img create -q -f qcow2 -o compression_type=zstd,extended_l2=on,lazy_refcounts=on zstd.qcow2 20M
         qemu-img create -q -f qcow2 --object secret,id=s,data=still -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 20M
         qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 20M
         qemu-img bitmap --add -g 64k r16.qcow2 nightly; qemu-img bitmap --add --disable r16.qcow2 old
         qemu-img snapshot -c first c64k.qcow2; qemu-img snapshot -c 'second one' c64k.qcow2
         qemu-img create -q -f qcow2 vm.qcow2 20M; qemu-img snapshot -c without vm.qcow2
         printf 'savevm with\\nquit\\n' | qemu-system-x86_64 -M none -accel tcg -display none -nodefaults \\
           -monitor stdio -drive if=none,format=qcow2,file=vm.qcow2 >&2
         qemu-img create -q -f qcow2 -b c64k.qcow2 -F qcow2 middle.qcow2
         qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2
         qemu-img create -q -f raw plain.raw 9M
         ls",
        mount.display()
    );
    let names = site.sh(&script)?;
    let (mut compared, mut vm_states) = (0, 0);
    for name in names.lines().filter(|name| *name != "data.raw") {
        for chain in [false, true] {
            let inside = Path::new("info").join(name);
            let mut oracle = site.command("qemu-img");
            oracle
                .args(["info", "-U", "--output=json"])
                .args(chain.then_some("--backing-chain"))
                .arg(mount.join(&inside));
            let oracle = oracle.output()?;
            ensure!(oracle.status.success(), "{name}: {}", String::from_utf8_lossy(&oracle.stderr));
            let mut ours = stage.stillpoint();
            ours.args(["info", "--output", "json"]).args(chain.then_some("--backing-chain"));
            ours.arg("--volume")
                .arg(stage.volume_spec(SiteName::A))
                .arg("--mounted-at")
                .arg(&mount)
                .arg(&inside);
            let ours = finish(&mut ours)?.expect(0).with_context(|| name.to_owned())?;
            let theirs: Value = serde_json::from_slice(&oracle.stdout)?;
            // Names are given relative to what each was told.
            let mounted = format!("{}/", mount.display());
            let theirs: Value = serde_json::from_str(&theirs.to_string().replace(&mounted, ""))?;
            let ours: Value = serde_json::from_str(&ours.to_string().replace(&mounted, ""))?;
            let (ours, theirs) = (without_live_facts(ours), without_live_facts(theirs));
            ensure!(ours == theirs, "{name}, chain {chain}:\nours {ours:#}\nqemu-img {theirs:#}");
            compared += 1;
            // Of a chain there is a list.
            let first = ours.get(0).unwrap_or(&ours);
            let snapshots = first["snapshots"].as_array().into_iter().flatten();
            vm_states += snapshots.filter(|snapshot| snapshot["vm-state-size"] != 0).count();
        }
    }
    eprintln!("info through the bricks: {compared} compared");
    site.sh(&format!("rm -r {}/info", mount.display()))?;
    let kinds = sizes.split(' ').count() + widths.split(' ').count() + 8;
    ensure!(compared == 2 * kinds, "{compared} were compared of {kinds} kinds, each alone and as a chain");
    ensure!(vm_states > 0, "no snapshot that was compared has a VM state");
    Ok(())
}

pub(crate) fn locate(stage: &Stage) -> Result<()> {
    let site = stage.lab.site(SiteName::A);
    let disk = stage.guest().volume_paths().swap_remove(0);
    let index = *site.shard_indices(&disk)?.last().context("the disk has one shard")?;
    let shard_size = 4 << 20;
    let mut command = stage.stillpoint();
    command.args(["locate", "--output", "json", "--volume"]).arg(stage.volume_spec(SiteName::A)).arg(&disk);
    command.arg((index * shard_size + 5).to_string());
    let found = finish(&mut command)?.expect(0)?.to_string();
    for copy in site.shard_copies(&disk, index)? {
        ensure!(found.contains(&*copy.to_string_lossy()), "{} is not in {found}", copy.display());
    }
    Ok(())
}

const LEN: u64 = 2 << 30;
const CHUNK: usize = 1 << 20;

/// Fills a file of 2 GiB with bytes that no two chunks share, every fourth run of 8 MiB a hole.
fn write_disk(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let mut chunk = vec![0_u8; CHUNK];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..LEN / CHUNK as u64 {
        if (number / 8) % 4 == 3 {
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Current(CHUNK as i64))?;
            continue;
        }
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_be_bytes());
        }
        file.write_all(&chunk)?;
    }
    file.set_len(LEN)?;
    file.sync_all()?;
    Ok(())
}

/// The digest of a file's bytes.
fn digest(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?).with_context(|| path.display().to_string())?;
    Ok(hasher.finalize())
}

pub(crate) fn export(stage: &Stage) -> Result<()> {
    let site = stage.lab.site(SiteName::A);
    let inside = Path::new("export-2g.raw");
    let mounted = on_mount(site, inside);
    write_disk(&mounted)?;
    let expected = digest(&mounted)?;
    let out = site.bricks_file_system().join("export-2g.out");
    let empty = tempfile::tempdir_in(stage.scratch.path())?;
    // A brick is gone for the one command: where it was lies an empty directory.
    let export = |lost: &[usize]| {
        let mut script = String::from("set -e; ");
        for &index in lost {
            script +=
                &format!("mount --bind {} {}; ", empty.path().display(), site.brick_dirs()[index].display());
        }
        script += "exec \"$@\"";
        let mut command = site.command("unshare");
        command.args(["--mount", "bash", "-c", &script, "bash", env!("CARGO_BIN_EXE_stillpoint")]);
        command.args(["export", "--output", "json", "--volume"]).arg(stage.volume_spec(SiteName::A));
        command.arg(inside).arg(&out);
        finish(&mut command)
    };
    // All bricks, then without either replica of both subvolumes: 2 by 2.
    for lost in [&[][..], &[0, 2], &[1, 3]] {
        let ended = export(lost)?;
        eprintln!("export of 2 GiB without bricks {lost:?}: {:.1} s", ended.took.as_secs_f64());
        ended.expect(0)?;
        ensure!(std::fs::metadata(&out)?.len() == LEN);
        ensure!(digest(&out)? == expected, "without bricks {lost:?} the export differs from the mount");
        std::fs::remove_file(&out)?;
    }
    for lost in [[0, 1], [2, 3]] {
        let ended = export(&lost)?;
        ensure!(ended.code == Some(1), "without bricks {lost:?} it did not refuse: {ended:#?}");
        for index in lost {
            let brick = site.brick_dirs()[index].display().to_string();
            ensure!(ended.stderr.contains(&brick), "the error does not name {brick}: {}", ended.stderr);
        }
        ensure!(!out.exists(), "a refused export left a file");
    }
    std::fs::remove_file(&mounted)?;
    Ok(())
}
