//! The lab as a whole: up, attach, status, down.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{LabConfig, SiteName};
use crate::error::{IoContext, LabError, Result};
use crate::guest::Guest;
use crate::instance::{self, Paths, ROOT};
use crate::lock::Lock;
use crate::process::{self, progress};
use crate::site::Site;
use crate::state::{Phase, State};
use crate::{bricks, network, packages, session, site};

/// How long the session may take to have its workers active, and the guest to write its first round.
const SLOW: Duration = Duration::from_secs(180);

/// A lab that is up. Dropping it leaves it up; see [`Lab::down`].
#[derive(Debug)]
pub struct Lab {
    state: State,
    paths: Paths,
    a: Site,
    b: Site,
}

/// The names of the labs that have a directory.
///
/// # Errors
/// The directory of labs cannot be listed.
pub fn instances() -> Result<Vec<String>> {
    let entries = match fs::read_dir(ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).io("list", ROOT),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| instance::check_name(name).is_ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Takes the lowest subnet that no other lab has, and leaves the state that says so.
fn reserve(config: &LabConfig, paths: &Paths) -> Result<State> {
    let _all = Lock::of_all()?;
    let mut taken = Vec::new();
    for name in instances()? {
        if let Ok(Some(state)) = State::load(&Paths::new(&name).state()) {
            taken.push(state.subnet);
        }
    }
    let free = (1..=254).find(|subnet| !taken.contains(subnet));
    let subnet = free.ok_or_else(|| LabError::Machine("all 254 subnets of labs are taken".to_owned()))?;
    fs::create_dir_all(paths.root()).io("create", paths.root())?;
    let state = State::new(config.clone(), subnet);
    state.save(&paths.state())?;
    Ok(state)
}

/// Runs two steps side by side and waits for both.
fn both<A: Send, B: Send>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok((one?, other?))
    })
}

impl Lab {
    /// Builds the lab, or attaches to it if it is up and whole. What an interrupted `up` left is taken down first.
    ///
    /// # Errors
    /// The configuration makes no sense, the machine can't (no root, no Debian), a step failed (what was built stays
    /// for a look; `down` removes it), or there is a lab of this name that is not whole or is otherwise configured.
    pub fn up(config: &LabConfig) -> Result<Self> {
        config.check()?;
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::Machine("it takes root".to_owned()));
        }
        let name = &config.instance;
        let paths = Paths::new(name);
        let _lock = Lock::of_instance(name, &paths)?;
        match State::load(&paths.state()) {
            Ok(Some(state)) if state.phase == Phase::Up => {
                let lab = Self::attach(name)?;
                if lab.config() != config {
                    return Err(LabError::Invalid(format!(
                        "lab {name:?} is up with another configuration; take it down first"
                    )));
                }
                progress(name, "is up already");
                return Ok(lab);
            }
            Ok(None) if !paths.root().exists() && network::namespaces(name).is_empty() => {}
            _ => {
                progress(name, "a half-made lab is taken down first");
                take_down(name, &paths)?;
            }
        }
        packages::ensure(name, config.install_packages)?;
        let begun = Instant::now();
        let state = reserve(config, &paths)?;
        let lab = Self::build(state, paths, begun)?;
        progress(name, &format!("up in {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(lab)
    }

    fn build(mut state: State, paths: Paths, begun: Instant) -> Result<Self> {
        let config = state.config.clone();
        let name = config.instance.as_str();
        let subnet = state.subnet;
        let step = |text: &str| progress(name, text);
        let mut timings = Vec::new();
        let mut last = begun;
        let mut took = |what: &str| {
            timings.push((what.to_owned(), last.elapsed().as_secs_f64()));
            last = Instant::now();
        };

        step(&format!(
            "network 10.77.{subnet}.0/24 and file systems for bricks in {}",
            paths.root().display()
        ));
        {
            let _all = Lock::of_all()?;
            network::build(name, subnet)?;
        }
        both(|| bricks::build(&config, &paths, SiteName::A), || bricks::build(&config, &paths, SiteName::B))?;
        took("network and file systems");

        step("sites");
        let make = |which| site::start(name, which, &paths, subnet, config.volume(which).clone());
        let (a, b) = both(|| make(SiteName::A), || make(SiteName::B))?;
        state.init.insert(SiteName::A, a.init);
        state.init.insert(SiteName::B, b.init);
        state.save(&paths.state())?;
        both(|| b.trust(&a.make_key()?), || a.trust(&b.make_key()?))?;
        took("sites");

        step("glusterd, sshd, libvirtd and volumes");
        let serve = |site: &Site| -> Result<()> {
            both(
                || {
                    site.start_glusterd()?;
                    site.create_volume()?;
                    site.mount_volume()
                },
                || {
                    site.start_sshd(subnet)?;
                    site.start_libvirtd()
                },
            )?;
            Ok(())
        };
        both(|| serve(&a), || serve(&b))?;
        took("daemons and volumes");

        let replicate = || -> Result<()> {
            let Some(session) = &config.session else { return Ok(()) };
            a.wait_for_ssh(SiteName::B, None)?;
            b.wait_for_ssh(SiteName::A, None)?;
            step("geo-replication session");
            session::build(&a, &config, session)?;
            if session.start {
                session::wait_active(&a, &config, SLOW)?;
            }
            Ok(())
        };
        let boot = || -> Result<()> {
            let Some(guest) = &config.guest else { return Ok(()) };
            step("guest");
            let guest = Guest::new(&a, guest);
            guest.build()?;
            let booting = Instant::now();
            guest.start()?;
            guest.wait_counter_above(0, SLOW)?;
            guest.verified()?;
            if config.guest.as_ref().is_some_and(|guest| guest.agent) {
                guest.wait_for_agent(Duration::from_secs(60))?;
            }
            step(&format!(
                "guest wrote its first round {:.1} s after its start",
                booting.elapsed().as_secs_f64()
            ));
            Ok(())
        };
        both(replicate, boot)?;
        took("session and guest");

        state.timings = timings;
        state.phase = Phase::Up;
        state.save(&paths.state())?;
        Ok(Self { state, paths, a, b })
    }

    /// The lab of a name that is up.
    ///
    /// # Errors
    /// There is none, it was never finished, or a site's first process is gone.
    pub fn attach(instance: &str) -> Result<Self> {
        instance::check_name(instance)?;
        let paths = Paths::new(instance);
        let no_such = || LabError::NoSuchLab { instance: instance.to_owned() };
        let state = State::load(&paths.state())?.ok_or_else(no_such)?;
        let unhealthy = |problems: &str| LabError::Unhealthy {
            instance: instance.to_owned(),
            problems: problems.to_owned(),
        };
        if state.phase != Phase::Up {
            return Err(unhealthy("it was never finished"));
        }
        let site = |name: SiteName| -> Result<Site> {
            let init = *state.init.get(&name).ok_or_else(|| unhealthy("its state names no processes"))?;
            let volume = state.config.volume(name).clone();
            let site = Site { name, instance: instance.to_owned(), paths: paths.clone(), init, volume };
            let in_its_network = process::Namespace::of(format!("/proc/{}/ns/net", init.pid))
                .is_some_and(|found| Some(found) == network::network(instance, name));
            if site.is_alive() && in_its_network {
                Ok(site)
            } else {
                Err(unhealthy(&format!("{name}'s first process is gone")))
            }
        };
        let (a, b) = (site(SiteName::A)?, site(SiteName::B)?);
        Ok(Self { state, paths, a, b })
    }

    /// Takes a lab down, whole or half-made, and leaves nothing of it. No lab of this name: nothing to do.
    ///
    /// # Errors
    /// Something could not be removed; the error names it.
    pub fn down(instance: &str) -> Result<()> {
        instance::check_name(instance)?;
        let paths = Paths::new(instance);
        if !paths.root().exists() && network::namespaces(instance).is_empty() {
            return Ok(());
        }
        let lock = Lock::of_instance(instance, &paths)?;
        let begun = Instant::now();
        take_down(instance, &paths)?;
        lock.remove()?;
        let all = Lock::of_all()?;
        if instances()?.is_empty() {
            site::remove_made_places()?;
            all.remove()?;
            // Stays if something else is in it, such as the lock of a lab that is about to be built.
            let _ = fs::remove_dir(ROOT);
        }
        progress(instance, &format!("down in {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// How the lab was configured.
    #[must_use]
    pub fn config(&self) -> &LabConfig {
        &self.state.config
    }

    /// The instance's name.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.state.config.instance
    }

    /// One of the sites.
    #[must_use]
    pub fn site(&self, name: SiteName) -> &Site {
        match name {
            SiteName::A => &self.a,
            SiteName::B => &self.b,
        }
    }

    /// The lab's paths.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The session's name as `stillpoint` and Gluster's documents write it: `gv1 siteB::gv2`.
    #[must_use]
    pub fn session_name(&self) -> String {
        format!("{} {}::{}", self.config().primary.name, SiteName::B, self.config().secondary.name)
    }
}

/// Removes everything that carries the instance's name, in whatever state it is.
fn take_down(instance: &str, paths: &Paths) -> Result<()> {
    // The network namespaces find every process, also those that the state does not know of. No process of a site
    // ever leaves its network.
    let mut networks = network::namespaces(instance);
    networks.extend(network::namespaces_of_first_processes(paths));
    let ended = process::end_all_in(&networks, Duration::from_secs(30))?;
    progress(instance, &format!("{ended} processes ended"));
    {
        let _all = Lock::of_all()?;
        network::remove(instance)?;
    }
    bricks::remove(instance, paths)?;
    if paths.root().exists() {
        fs::remove_dir_all(paths.root()).io("remove", paths.root())?;
    }
    let left = leftovers(instance, paths)?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(LabError::Leftovers { instance: instance.to_owned(), left: left.join(", ") })
    }
}

/// What is there of an instance, looked for independently of how it is removed.
pub(crate) fn leftovers(instance: &str, paths: &Paths) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for site in SiteName::ALL {
        let link = instance::link_name(instance, site);
        if Path::new("/run/netns").join(&link).exists() {
            left.push(format!("network namespace {link}"));
        }
        if Path::new("/sys/class/net").join(&link).exists() {
            left.push(format!("interface {link}"));
        }
    }
    left.extend(bricks::mounts_under(paths.root()).iter().map(|place| format!("mount {}", place.display())));
    left.extend(bricks::loops_under(paths.root())?.into_iter().map(|device| format!("loop device {device}")));
    if paths.root().exists() {
        left.push(format!("directory {}", paths.root().display()));
    }
    Ok(left)
}
