//! A disk of a plan: its clusters as the image has them, and its bytes as the guest has them.

use std::collections::BTreeMap;

use super::super::ClusterSpec;

/// A cluster that was written: what it is in the image, and what it is to the guest.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) spec: ClusterSpec,
    /// The bytes of each part, `None` where what is below shows through. Parts are all equally long.
    pub(super) parts: Vec<Option<Vec<u8>>>,
}

/// The clusters of a disk at one time, by number, and its size in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct PlannedDisk {
    pub(super) size: u64,
    pub(super) clusters: BTreeMap<u64, Cluster>,
}

impl PlannedDisk {
    /// The clusters for the writer. None of them is past the disk's end.
    pub(super) fn specs(&self) -> Vec<(u64, ClusterSpec)> {
        self.clusters.iter().map(|(index, cluster)| (*index, cluster.spec.clone())).collect()
    }

    /// What the guest sees over `below`.
    pub(super) fn bytes(&self, cluster_size: usize, below: &[u8]) -> Vec<u8> {
        let size = usize::try_from(self.size).expect("planned disks are small");
        let mut bytes = below.to_vec();
        bytes.resize(size, 0);
        for (index, cluster) in &self.clusters {
            let mut at = usize::try_from(*index).expect("planned disks are small") * cluster_size;
            let part_len = cluster_size / cluster.parts.len();
            for part in &cluster.parts {
                let end = (at + part_len).min(size);
                if let Some(part) = part.as_ref().filter(|_| at < end) {
                    bytes[at..end].copy_from_slice(&part[..end - at]);
                }
                at += part_len;
            }
        }
        bytes
    }
}
