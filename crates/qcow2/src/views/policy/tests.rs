use std::os::unix::fs::symlink;

use super::*;
use crate::ReferenceKind;

/// A directory `root` with `base` and `sub/deep` in it, a file `secret` beside it, and symbolic links.
struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let tree = Self { directory };
        std::fs::create_dir_all(tree.path("root/sub")).expect("it can be made");
        for file in ["root/base", "root/sub/deep", "secret"] {
            std::fs::write(tree.path(file), file).expect("it can be written");
        }
        symlink("../secret", tree.path("root/link-out")).expect("it can be made");
        symlink(tree.path("secret"), tree.path("root/link-absolute")).expect("it can be made");
        symlink("base", tree.path("root/link-in")).expect("it can be made");
        symlink("..", tree.path("root/up")).expect("it can be made");
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `resolver` makes of the name `stored` in the image `root/image`.
    fn resolve(&self, resolver: &dyn Resolver, stored: &str) -> Result<Vec<u8>, ReferenceError> {
        let image = Name::from(self.path("root/image").as_path());
        let reference = Reference::parse(ReferenceKind::Backing, &image, &stored.into())?;
        let source = resolver.resolve(&reference)?;
        let mut bytes = vec![0; usize::try_from(source.storage.len()).expect("it is short")];
        source.storage.read_exact_at(0, &mut bytes).expect("it can be read");
        Ok(bytes)
    }
}

#[test]
fn nothing_is_opened_by_default() {
    let tree = Tree::new();
    assert!(matches!(tree.resolve(&DenyAll, "base"), Err(ReferenceError::Denied { .. })));
}

#[test]
fn below_a_directory_files_open_by_relative_and_absolute_names() {
    let tree = Tree::new();
    let below = Below::new(tree.path("root")).expect("it is there");
    for name in ["base", "./base", "sub/deep", "sub/../base", "link-in"] {
        assert!(tree.resolve(&below, name).is_ok(), "{name}");
    }
    let absolute = tree.path("root/base");
    assert_eq!(tree.resolve(&below, absolute.to_str().expect("it is text")).expect("it opens"), b"root/base");
    let json = format!(r#"json:{{"file.filename":"{}"}}"#, absolute.display());
    assert_eq!(tree.resolve(&below, &json).expect("it opens"), b"root/base");
}

#[test]
fn no_name_and_no_symbolic_link_leads_out_of_the_directory() {
    let tree = Tree::new();
    let below = Below::new(tree.path("root")).expect("it is there");
    let secret = tree.path("secret");
    let back = tree.path("root/../root/base");
    for name in [
        "../secret",
        "sub/../../secret",
        "link-out",
        "link-absolute",
        "up/secret",
        "/etc/passwd",
        "/proc/self/exe",
        "..",
        secret.to_str().expect("it is text"),
        back.to_str().expect("it is text"),
    ] {
        let found = tree.resolve(&below, name);
        assert!(matches!(found, Err(ReferenceError::Outside { .. })), "{name}: {found:?}");
    }
}

#[test]
fn without_openat2_no_link_is_followed_at_all() {
    let tree = Tree::new();
    let below = Below::new(tree.path("root")).expect("it is there");
    for (path, allowed) in [
        ("base", true),
        ("sub/deep", true),
        ("link-in", false),
        ("link-out", false),
        ("up/secret", false),
        ("sub/../base", false),
        ("../secret", false),
        (".", false),
    ] {
        assert_eq!(open_stepwise(&below.root, Path::new(path)).is_ok(), allowed, "{path}");
    }
}

#[test]
fn the_same_directory_has_no_other_directory_in_it() {
    let tree = Tree::new();
    let same = SameDirectory::of(tree.path("root/image")).expect("it is there");
    assert_eq!(tree.resolve(&same, "base").expect("it opens"), b"root/base");
    for name in ["sub/deep", "../secret", "link-out", "sub/../base"] {
        assert!(matches!(tree.resolve(&same, name), Err(ReferenceError::Outside { .. })), "{name}");
    }
}

#[test]
fn what_is_missing_or_no_file_is_an_error_of_its_own() {
    let tree = Tree::new();
    let below = Below::new(tree.path("root")).expect("it is there");
    assert!(matches!(tree.resolve(&below, "none"), Err(ReferenceError::Open { .. })));
    assert!(matches!(tree.resolve(&below, "sub"), Err(ReferenceError::Open { .. })));
    assert!(matches!(tree.resolve(&below, "nbd://host/x"), Err(ReferenceError::Protocol { .. })));
    assert!(matches!(tree.resolve(&AnyFile, "nbd://host/x"), Err(ReferenceError::Protocol { .. })));
}

#[test]
fn a_named_pipe_in_the_place_of_a_file_does_not_hang() {
    let tree = Tree::new();
    let pipe = tree.path("root/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0)
        .expect("it can be made");
    let below = Below::new(tree.path("root")).expect("it is there");
    assert!(matches!(tree.resolve(&below, "pipe"), Err(ReferenceError::Open { .. })));
    assert!(matches!(tree.resolve(&AnyFile, "pipe"), Err(ReferenceError::Open { .. })));
}

#[test]
fn two_names_of_one_file_have_one_id() {
    let tree = Tree::new();
    let by_name = Source::open(tree.path("root/base")).expect("it opens");
    let by_link = Source::open(tree.path("root/link-in")).expect("it opens");
    assert_eq!(by_name.id, by_link.id);
    assert_ne!(by_name.id, Source::open(tree.path("secret")).expect("it opens").id);
}
