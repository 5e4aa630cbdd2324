//! Passphrases from the command line.

use std::fs;
use std::path::Path;

use stillpoint_qcow2::luks::{Keyring, Passphrase};

use crate::cli::KeyArgs;
use crate::command::source::system_text;

/// The passphrases that are given, or the complaint, in qemu-img's words where it has some.
pub(crate) fn keyring(args: &KeyArgs) -> Result<Keyring, String> {
    let mut passphrases = Vec::new();
    for object in &args.object {
        passphrases.push(secret(object)?);
    }
    for file in &args.passphrase_file {
        let mut bytes = read(file)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        passphrases.push(Passphrase::new(bytes));
    }
    Ok(Keyring::new(passphrases))
}

/// A passphrase as `--object` tells it.
fn secret(object: &str) -> Result<Passphrase, String> {
    let mut options = options(object).into_iter();
    let kind = options.next().unwrap_or_default();
    let kind = kind.strip_prefix("qom-type=").unwrap_or(&kind);
    if kind != "secret" {
        return Err(format!("Parameter 'qom-type' does not accept value '{kind}'"));
    }
    let (mut id, mut data, mut file) = (None, None, None);
    for option in options {
        match option.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("data", value)) => data = Some(value.to_owned()),
            Some(("file", value)) => file = Some(value.to_owned()),
            Some(("format", "raw")) => {}
            Some((name @ ("format" | "keyid" | "iv"), value)) => {
                return Err(format!(
                    "--object secret with {name}={value} is not supported: give the passphrase as it is"
                ));
            }
            _ => return Err(format!("Invalid parameter '{}'", option.split('=').next().unwrap_or_default())),
        }
    }
    if id.is_none() {
        return Err("Parameter 'id' is missing".into());
    }
    match (data, file) {
        (Some(data), None) => Ok(Passphrase::new(data)),
        (None, Some(file)) => read(Path::new(&file)).map(Passphrase::new),
        (None, None) => Err("Either 'file' or 'data' must be provided".into()),
        (Some(_), Some(_)) => Err("'file' and 'data' are mutually exclusive".into()),
    }
}

/// The parts between single commas; two stand for one.
fn options(text: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            options.push(String::new());
        } else if let Some(option) = options.last_mut() {
            option.push(character);
        }
    }
    options
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| {
        let name = file.display();
        format!("Unable to read {name}: Failed to open file “{name}”: {}", system_text(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commas_stand_for_one() {
        assert_eq!(options("secret,id=a,data=x,,y,,,z=1"), ["secret", "id=a", "data=x,y,", "z=1"]);
        assert_eq!(options(""), [""]);
    }

    #[test]
    fn what_is_no_secret_is_refused_as_qemu_img_does() {
        for (object, complaint) in [
            ("secret,data=x", "Parameter 'id' is missing"),
            ("secret,id=a", "Either 'file' or 'data' must be provided"),
            ("secret,id=a,data=x,file=y", "'file' and 'data' are mutually exclusive"),
            ("iothread,id=a", "Parameter 'qom-type' does not accept value 'iothread'"),
            ("secret,id=a,colour=red", "Invalid parameter 'colour'"),
        ] {
            assert_eq!(secret(object).map(|_| ()), Err(complaint.to_owned()), "{object}");
        }
        assert!(secret("secret,id=a,data=x").is_ok());
        assert!(secret("secret,id=a,format=base64,data=eA==").is_err());
    }
}
