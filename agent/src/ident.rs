//! Who this agent is and which boot of the host it runs in.
//!
//! Called once at start. The id is what breadcrumbs name, so it must outlive the process: it is kept in the state directory.

use crate::config::AgentConfig;
use backsight_core::ids::AgentId;
use backsight_core::priority::text_hash;
use std::path::{Path, PathBuf};

/// The file in the state directory that holds the id, and a hash of the machine that it was made on.
const ID_FILE: &str = "agent-id";

/// The agent's id, and why it could not be kept, if it could not.
#[derive(Debug)]
pub struct Identified {
    /// The id.
    pub agent: AgentId,
    /// The file, and what the system said.
    pub not_kept: Option<(PathBuf, std::io::Error)>,
    /// The id that was kept on another machine, of which this one is a copy: that one goes on with it.
    pub of_another: Option<AgentId>,
}

/// What the file says.
struct Kept {
    agent: AgentId,
    /// Of an earlier version it may be missing.
    machine: Option<AgentId>,
}

impl Kept {
    fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        let agent = words.next()?.parse::<AgentId>().ok().filter(|agent| !agent.is_none())?;
        Some(Self { agent, machine: words.next().and_then(|word| word.parse().ok()) })
    }
}

/// Returns the agent's id: the hash of its name; else the one that this machine keeps in its state directory; else the hash of the machine's id
/// and the socket's path, which is then kept.
pub fn identify(config: &AgentConfig) -> Identified {
    identify_on(&machine_id(), config)
}

fn identify_on(machine_id: &str, config: &AgentConfig) -> Identified {
    let file = config.state_dir.join(ID_FILE);
    let (known, machine) = (Kept::read(&file), hashed(machine_id));
    let is_copy = |kept: &Kept| kept.machine.is_some_and(|of| of != machine);
    let of_another = known.as_ref().filter(|kept| config.id.is_empty() && is_copy(kept)).map(|kept| kept.agent);
    let agent = match &known {
        _ if !config.id.is_empty() => hashed(&config.id),
        Some(kept) if of_another.is_none() => kept.agent,
        _ => hashed(&format!("{machine_id}:{}", absolute(&config.socket).display())),
    };
    if known.is_some_and(|kept| kept.agent == agent && kept.machine == Some(machine)) {
        return Identified { agent, not_kept: None, of_another };
    }
    let text = format!("{agent} {machine}\n");
    let kept = std::fs::create_dir_all(&config.state_dir).and_then(|()| write_whole(&file, &text));
    Identified { agent, not_kept: kept.err().map(|error| (file, error)), of_another }
}

/// Returns the boot id of the host, zero where it cannot be read.
pub fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).unwrap_or(0);
    [(id >> 64) as u64, id as u64]
}

fn hashed(name: &str) -> AgentId {
    AgentId(text_hash(name).max(1))
}

fn machine_id() -> String {
    let read = |path| std::fs::read_to_string(path).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let hostname = || read("/proc/sys/kernel/hostname");
    read("/etc/machine-id").or_else(hostname).unwrap_or_default()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Writes a file so that a reader finds the old or the new text, never half of it.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let draft = file.with_extension("new");
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, file)
}

#[cfg(test)]
mod tests {
    use super::{identify, identify_on};
    use crate::config::AgentConfig;

    fn config(dir: &std::path::Path, id: &str) -> AgentConfig {
        AgentConfig {
            socket: dir.join("a.sock"),
            state_dir: dir.join("state"),
            id: id.into(),
            ..AgentConfig::default()
        }
    }

    #[test]
    fn the_id_survives_a_restart_and_a_moved_socket() {
        let dir = tempfile::tempdir().unwrap();
        let first = identify(&config(dir.path(), ""));
        assert!(first.not_kept.is_none() && !first.agent.is_none());
        let moved = AgentConfig { socket: "/elsewhere".into(), ..config(dir.path(), "") };
        assert_eq!(identify(&moved).agent, first.agent);
    }

    /// Or all hosts of one image would have one id, of which a collector takes one.
    #[test]
    fn a_copy_of_a_machine_takes_an_id_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let first = identify_on("one", &config(dir.path(), ""));
        assert_eq!(first.of_another, None);
        let copy = identify_on("other", &config(dir.path(), ""));
        assert!(copy.of_another == Some(first.agent) && copy.agent != first.agent);
        let again = identify_on("other", &config(dir.path(), ""));
        assert_eq!((again.agent, again.of_another), (copy.agent, None), "it keeps that");
        let named = identify_on("third", &config(dir.path(), "web-1"));
        assert_eq!((named.of_another, named.agent), (None, identify_on("one", &config(dir.path(), "web-1")).agent));
        // An earlier version kept no machine: what it kept is believed, and that of this machine from now on.
        std::fs::write(dir.path().join("state/agent-id"), format!("{}\n", first.agent)).unwrap();
        assert_eq!(identify_on("one", &config(dir.path(), "")).agent, first.agent);
        assert_eq!(identify_on("two", &config(dir.path(), "")).of_another, Some(first.agent));
    }

    #[test]
    fn agents_with_different_sockets_or_names_differ() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(identify(&config(a.path(), "")).agent, identify(&config(b.path(), "")).agent);
        assert_eq!(identify(&config(a.path(), "x")).agent, identify(&config(b.path(), "x")).agent);
        assert_ne!(identify(&config(a.path(), "x")).agent, identify(&config(a.path(), "y")).agent);
    }

    #[test]
    fn a_state_directory_that_cannot_be_written_costs_a_warning_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state"), "a file").unwrap();
        let identified = identify(&config(dir.path(), ""));
        assert!(identified.not_kept.is_some() && !identified.agent.is_none());
    }
}
