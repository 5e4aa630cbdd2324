//! `check` against qemu-img's: damage on purpose, damage at random, and what only ours tells.

mod corruptions;
mod damage;
mod oracle;
mod structures;
