//! Domain XML as libvirt writes it.

use std::fmt::Write;
use std::path::Path;

use stillpoint_virt::Which;

use super::domain::{Guest, SimAgent};
use super::drive::{Drive, Layer, Phase};

pub(super) fn domain(guest: &Guest, which: Which, security_model: Option<&str>) -> String {
    let live = which == Which::Live && guest.instance.is_some();
    let mut xml = match guest.instance {
        Some(instance) if live => format!("<domain type='qemu' id='{instance}'>\n"),
        _ => "<domain type='qemu'>\n".to_owned(),
    };
    let _ = write!(
        xml,
        "  <name>{}</name>\n  <uuid>{}</uuid>\n  <memory unit='KiB'>65536</memory>\n  <os>\n    \
         <type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type>{}\n  </os>\n  <devices>{}\n",
        escape(&guest.id.name),
        guest.id.uuid,
        guest.extra.os,
        guest.extra.devices
    );
    for disk in &guest.disks {
        if live { live_disk(&mut xml, disk) } else { defined_disk(&mut xml, disk) }
    }
    let state = match guest.agent {
        SimAgent::Absent => None,
        SimAgent::Disconnected => Some("disconnected"),
        SimAgent::Answers { .. } | SimAgent::Hangs => Some("connected"),
    };
    if let Some(state) = state {
        let state = if live { format!(" state='{state}'") } else { String::new() };
        let _ = write!(
            xml,
            "    <channel type='unix'>\n      <target type='virtio' name='org.qemu.guest_agent.0'{state}/>\n    </channel>\n"
        );
    }
    xml.push_str("  </devices>\n");
    if let Some(model) = security_model.filter(|_| live) {
        let _ = writeln!(xml, "  <seclabel type='dynamic' model='{model}' relabel='yes'/>");
    }
    xml.push_str("</domain>\n");
    xml
}

fn live_disk(xml: &mut String, disk: &Drive) {
    let Some((top, below)) = disk.layers.split_first() else { return };
    open(xml, disk, top);
    let mut depth = 0;
    for layer in below {
        let _ = write!(
            xml,
            "{:1$}<backingStore type='file'><format type='{2}'/><source file='{3}'/>",
            "",
            6 + 2 * depth,
            layer.format,
            path(&layer.path)
        );
        depth += 1;
    }
    xml.push_str("<backingStore/>");
    for _ in 0..depth {
        xml.push_str("</backingStore>");
    }
    xml.push('\n');
    if let Some(job) = &disk.job
        && let Some(base) = disk.layers.get(job.base)
    {
        let ready = match job.phase {
            Phase::Copying(_) => "",
            Phase::Ready => " ready='yes'",
            Phase::Pivoting(_) => " ready='pivot'",
        };
        let _ = writeln!(
            xml,
            "      <mirror type='file' job='active-commit'{ready}><format type='{}'/><source file='{}'/></mirror>",
            base.format,
            path(&base.path)
        );
    }
    close(xml, disk);
}

fn defined_disk(xml: &mut String, disk: &Drive) {
    open(xml, disk, &disk.defined);
    close(xml, disk);
}

fn open(xml: &mut String, disk: &Drive, top: &Layer) {
    let _ = write!(
        xml,
        "    <disk type='file' device='{}'>\n      <driver name='qemu' type='{}'/>\n      <source file='{}'/>\n",
        disk.device,
        top.format,
        path(&top.path)
    );
}

fn close(xml: &mut String, disk: &Drive) {
    let _ = writeln!(xml, "      <target dev='{}' bus='virtio'/>", escape(&disk.target));
    for flag in &disk.flags {
        let _ = writeln!(xml, "      <{flag}/>");
    }
    xml.push_str("    </disk>\n");
}

fn path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
