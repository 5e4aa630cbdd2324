//! `check` against qemu-img's: damage on purpose, damage at random, and what only ours tells.

mod beyond;
mod corruptions;
mod damage;
mod hostile;
mod oracle;
mod random;
mod structures;
