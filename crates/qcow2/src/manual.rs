//! The format, told from the first byte of a file on. There is no code in here.
//!
//! The specification is `docs/interop/qcow2` in QEMU's tree. This page says in which order things are found and where this
//! crate has them; each section names the specification's own. Numbers are big-endian, offsets and lengths are in bytes
//! unless it says otherwise.
//!
//! # The file: clusters
//!
//! A file is an array of clusters of one size, a power of two from 512 bytes to 2 MiB
//! ([`ClusterSize`](crate::tables::ClusterSize)), 64 KiB unless somebody asked for another. The first has the header. Every
//! other one is a part of a table, guest data, or free. Nothing has a fixed place but the header: all else is found by
//! offsets, which point to where a cluster begins. The last cluster may end with the file.
//!
//! # The header (sections "Header" and "Header extensions")
//!
//! [`RawHeader`](crate::raw::RawHeader) has its fields with their places. Version 2 has 72 bytes; version 3 tells its own
//! length, 104 or more, and has three fields of feature bits ([`raw`](crate::raw)):
//!
//! | bits | who doesn't know one that is set | are |
//! | --- | --- | --- |
//! | [`Incompatible`](crate::raw::Incompatible) | can't open the image | dirty, corrupt, data file, compression type, extended L2 entries |
//! | [`Compatible`](crate::raw::Compatible) | ignores it | lazy refcounts |
//! | [`Autoclear`](crate::raw::Autoclear) | clears it when it writes | bitmaps are consistent, the data file is raw |
//!
//! Behind the header lie extensions, each with a magic number, a length and data, padded to eight bytes
//! ([`raw::magic`](crate::raw::magic), [`Extensions`](crate::tables::Extensions)): the backing file's format, names for
//! feature bits, where the bitmaps and the LUKS header are, the data file's name. One that isn't known is kept and ignored.
//! The backing file's name lies in the first cluster too.
//!
//! # From the guest's disk to the file (section "Cluster mapping")
//!
//! Two levels of tables. The L1 table lies in one piece and has one entry for each L2 table. An L2 table is a cluster and
//! has one entry of 8 bytes for each of the guest's clusters, or of 16 if L2 entries are extended. So with clusters of 64 KiB
//! an L2 table is for 8192 of them, 512 MiB. To find a byte by hand:
//!
//! ```
//! use stillpoint_qcow2::raw::{RawHeader, RawL1Entry, RawL2Entry};
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};
//! # let file = ImageBuilder::v3().size(1 << 30).cluster(8195, ClusterSpec::Data(vec![7; 65536])).build();
//!
//! let (_, header) = RawHeader::parse(&file).map_err(|error| error.to_string())?;
//! let word = |at: u64| -> Result<u64, Box<dyn std::error::Error>> {
//!     let at = usize::try_from(at)?;
//!     Ok(u64::from_be_bytes(file.get(at..at + 8).ok_or("past the end")?.try_into()?))
//! };
//! let guest = 8195 * 65536 + 5_u64;
//! let cluster = guest >> header.cluster_bits;
//! let per_table = (1 << header.cluster_bits) / 8;
//!
//! let l1 = RawL1Entry(word(header.l1_table_offset + cluster / per_table * 8)?);
//! let l2 = RawL2Entry(word(l1.offset() + cluster % per_table * 8)?);
//! let host = l2.offset() + guest % (1 << header.cluster_bits);
//! assert_eq!(file[usize::try_from(host)?], 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! That believes every number. [`Mapping`](crate::tables::Mapping) doesn't, and says what a place is:
//!
//! | entry | [`Allocation`](crate::tables::Allocation) | the guest sees |
//! | --- | --- | --- |
//! | all zeros, or no L2 table | `Unallocated` | the backing file, or zeros |
//! | an offset | `Data` | what is there |
//! | bit 0, of version 3 | `Zero` | zeros; an offset may be kept for later |
//! | bit 62 | `Compressed` | what its stream unpacks to |
//!
//! - Bit 63 (`COPIED`) says that the refcount is exactly one, so that the cluster may be written in place.
//! - A compressed cluster's entry has the stream's first byte and its number of further sectors of 512 bytes
//!   ([`RawCompressed`](crate::raw::RawCompressed)); streams lie close together, over the borders of clusters (section
//!   "Compressed Clusters Descriptor"). They are deflate without a header, or zstd.
//! - An extended entry has 64 bits more: for each of 32 subclusters whether it is stored, and whether it is zeros
//!   ([`RawSubclusters`](crate::raw::RawSubclusters); section "Extended L2 Entries").
//!
//! # What isn't in the file
//!
//! A **backing file** has what the image doesn't. It may be shorter, and is zeros from its end on, or longer. It may be an
//! image with a backing file of its own: a [`Chain`](crate::Chain). A snapshot of a virtual machine often is nothing but a
//! new image on the old one.
//!
//! An **external data file** has all guest data, each cluster where the guest has it, so that, if the autoclear bit says
//! so, it is a raw disk by itself. The image has only tables then.
//!
//! Both are named in the image, and whoever made the image chose the names: see [`Resolver`](crate::Resolver).
//!
//! # Refcounts (section "Host cluster management")
//!
//! For each cluster of the file there is a number: how many references there are to it, 0 if it is free. They have 1 to 64
//! bits each, lie in refcount blocks of a cluster each, and these are found through the refcount table. No reader of guest
//! data needs them. A writer believes them, and overwrites what they call free; so [`check`](crate::check) counts all
//! references anew. A refcount that is too high is a leak, one that is too low is data lost at the next write.
//!
//! # Snapshots (section "Snapshots")
//!
//! An internal snapshot is a copy of the L1 table. It shares L2 tables and clusters with the active disk, whose refcounts go
//! up, until they are written to. The snapshot table has for each an id, a name, the time, and in its extra data the size of
//! the disk and of the machine's state ([`Snapshot`](crate::tables::Snapshot)). The state is stored as if it were guest
//! data, behind the disk's end ([`VmState`](crate::VmState)).
//!
//! ```
//! use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Source};
//! use stillpoint_storage::Storage;
//! # use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};
//! # let mut before = SnapshotSpec::new("1", "before");
//! # before.clusters = vec![(1, ClusterSpec::Data(vec![7; 65536]))];
//! # let file = ImageBuilder::v3().size(1 << 20).snapshot(before).build();
//! let source = Source::new(std::sync::Arc::new(file), "disk.qcow2", None);
//! let chain = Chain::open(source, None, &DenyAll, &ChainOptions::default())?;
//! let image = chain.layers()[0].image().ok_or("it is raw")?;
//! let snapshot = image.snapshot("before").ok_or("there is none")?;
//!
//! let (mut then, mut now) = ([0], [0]);
//! Disk::open_snapshot(&chain, snapshot, &DenyAll)?.read_exact_at(65536, &mut then)?;
//! Disk::open(&chain, &DenyAll)?.read_exact_at(65536, &mut now)?;
//! assert_eq!((then, now), ([7], [0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bitmaps (sections "Bitmaps extension" and "Bitmaps")
//!
//! A bitmap has a bit for each so many bytes of the disk, its granularity, and tells which were written since it was made:
//! what an incremental backup has to copy. The extension leads to the directory, an entry of that ([`Bitmap`]) to the
//! bitmap's table, and that to clusters of bits; an entry of it may also say that all bits of such a cluster are zero, or
//! one. A bitmap that is in use, or all of them if the autoclear bit is gone, can't be believed.
//! [`Image::dirty_ranges`] reads one.
//!
//! # Encryption (section "Data encryption")
//!
//! Guest data in whole clusters is encrypted in sectors of 512 bytes, by keys in a LUKS header which lies in clusters of its
//! own, or by QEMU's old AES method, which is not read here. Tables are not, and compressed clusters are not.
//! [`LuksHeader`](crate::tables::LuksHeader) describes it; `luks::Keyring` opens it.
//!
//! # Where the limits are
//!
//! The specification has few. QEMU has one for each table and name, and this crate has the same or tighter ones, all in
//! [`limits`](crate::tables::limits).
//!
//! [`Bitmap`]: crate::tables::Bitmap
//! [`Image::dirty_ranges`]: crate::Image::dirty_ranges
