//! `check` against qemu-img's: damage on purpose, damage at random, and what only ours tells.

mod beyond;
mod bits;
mod compressed;
mod corruptions;
mod damage;
mod hostile;
mod made;
mod oracle;
mod random;
mod structures;
mod verbs;
