//! What the host lets the agent have: memory and descriptors.
//!
//! Called once at start. Only what the kernel tells is read here; what follows from it is the configuration's to say.

use crate::config;
use backsight_core::units::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;

/// Where the kernel shows groups of processes.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Returns the memory that is available to new things, as far as the kernel tells.
pub fn available_memory() -> Option<Bytes> {
    config::available_memory(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// Returns the most memory that this process's group may have, `None` where nobody set a limit.
pub fn memory_limit() -> Option<Bytes> {
    limit_of(&std::fs::read_to_string("/proc/self/cgroup").ok()?, Path::new(CGROUPS))
}

/// Returns the least limit of the groups that `/proc/self/cgroup`'s text names and of those around them, below `root`.
fn limit_of(cgroups: &str, root: &Path) -> Option<Bytes> {
    let limits = cgroups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|of| of == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let read = |group: &Path| {
            let file = root.join(group.strip_prefix("/").unwrap_or(group)).join(file);
            std::fs::read_to_string(file).ok()?.trim().parse().ok() // `max` is none
        };
        Path::new(group).ancestors().filter_map(read).min()
    });
    // Version 1 says "no limit" as the largest number of pages.
    limits.min().filter(|limit| *limit < 1 << 60).map(Bytes)
}

/// Has this process keep as many descriptors as it may: a session has four.
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }); // else there are fewer sessions
}

#[cfg(test)]
mod tests {
    use super::limit_of;
    use backsight_core::units::Bytes;

    #[test]
    fn the_least_limit_of_a_group_and_those_around_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let limit = |cgroups: &str| limit_of(cgroups, root.path());
        assert_eq!(limit("0::/system.slice/agent.service\n"), None, "nothing says anything");
        write("system.slice/agent.service/memory.max", "max\n");
        assert_eq!(limit("0::/system.slice/agent.service\n"), None);
        write("system.slice/memory.max", "536870912\n");
        assert_eq!(limit("0::/system.slice/agent.service\n"), Some(Bytes::mib(512)));
        write("system.slice/agent.service/memory.max", "268435456\n");
        assert_eq!(limit("0::/system.slice/agent.service\n"), Some(Bytes::mib(256)));
        write("memory/agent/memory.limit_in_bytes", "1048576\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("5:cpu,memory:/agent\n4:pids:/agent\n"), Some(Bytes::mib(1)));
        assert_eq!(limit("5:memory:/\n"), None);
        // In a container the root is its own.
        write("memory.max", "134217728\n");
        assert_eq!(limit("0::/\n"), Some(Bytes::mib(128)));
        assert_eq!(limit("not a line\n0::\n"), Some(Bytes::mib(128)));
    }
}
