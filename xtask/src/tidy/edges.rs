//! The direction of dependencies: the table of rooms, against what the manifests say.
//!
//! Called by `tidy`. Development dependencies are free, but for `backsight-tests`, on which nothing may depend.

use crate::workspace::Workspace;

/// What a package may depend on.
enum May {
    Only(&'static [&'static str]),
    /// On everything; then nothing may depend on it.
    Everything,
}

/// The rooms and what they may depend on, from the bottom up; ARCHITECTURE.md gives the reasons.
const ROOMS: &[(&str, May)] = &[
    ("backsight-core", May::Only(&[])),
    ("backsight-ringbuf", May::Only(&["backsight-core"])),
    ("backsight-client", May::Only(&["backsight-ringbuf", "backsight-core"])),
    ("backsight-macros", May::Only(&["backsight-core"])),
    ("backsight", May::Only(&["backsight-client", "backsight-macros", "backsight-ringbuf", "backsight-core"])),
    ("backsight-capi", May::Only(&["backsight-client", "backsight-ringbuf", "backsight-core"])),
    ("backsight-preload", May::Only(&["backsight-client", "backsight-ringbuf", "backsight-core"])),
    ("backsight-ebpf", May::Only(&["backsight-core"])),
    ("backsight-jit", May::Only(&["backsight-core"])),
    ("backsight-proto", May::Only(&["backsight-core"])),
    ("backsight-agent", May::Only(&["backsight-ebpf", "backsight-ringbuf", "backsight-proto", "backsight-core"])),
    ("backsight-store", May::Only(&["backsight-core"])),
    ("backsight-query", May::Only(&["backsight-store", "backsight-proto", "backsight-core"])),
    ("backsight-collector", May::Only(&["backsight-store", "backsight-query", "backsight-proto", "backsight-core"])),
    ("backsight-sim", May::Only(&["backsight-proto", "backsight-core"])),
    (
        "backsight-cli",
        May::Only(&["backsight-store", "backsight-query", "backsight-sim", "backsight-proto", "backsight-core"]),
    ),
    ("backsight-examples", May::Only(&["backsight"])),
    ("backsight-tests", May::Everything),
    ("backsight-dst", May::Everything),
    ("xtask", May::Only(&[])),
];

/// Packages that live in the processes of others, and the foreign code that they may always bring along; `thiserror` comes with core.
const GUESTS: &[&str] = &["backsight-ringbuf", "backsight-client"];
const GUESTS_MAY_BRING: &[&str] = &["libc", "rustix", "thiserror"];

/// A package and what its manifest asks for.
pub(crate) struct PackageEdges {
    name: String,
    edges: Vec<Edge>,
}

struct Edge {
    to: String,
    kind: EdgeKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EdgeKind {
    /// In every build, build scripts included.
    Always,
    /// Behind a feature, or in builds of models.
    Sometimes,
    Dev,
}

/// Returns the dependencies of all packages of the workspace.
pub(crate) fn packages(workspace: &Workspace) -> Vec<PackageEdges> {
    let edge = |dependency: &crate::workspace::Dependency| Edge {
        to: dependency.name.clone(),
        kind: match dependency.kind.as_deref() {
            Some("dev") => EdgeKind::Dev,
            _ if dependency.optional || dependency.target.is_some() => EdgeKind::Sometimes,
            _ => EdgeKind::Always,
        },
    };
    let examples = workspace.root.join("examples");
    let packages = workspace.packages.iter().map(|package| PackageEdges {
        // Each example is a package of its own; they share one row.
        name: if package.manifest_path.starts_with(&examples) { "backsight-examples" } else { &package.name }
            .to_owned(),
        edges: package.dependencies.iter().map(edge).collect(),
    });
    packages.collect()
}

/// Returns the edges that the table does not allow, and the packages that it does not know.
pub(crate) fn check(packages: &[PackageEdges]) -> Vec<String> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &PackageEdges) -> Vec<String> {
    let name = &package.name;
    let Some(may) = row(name) else {
        return vec![format!("package `{name}` is not in the table of rooms: add it to xtask/src/tidy/edges.rs")];
    };
    let refused = |edge: &&Edge| match (edge.kind, row(&edge.to)) {
        (_, Some(May::Everything)) => true,
        (EdgeKind::Always | EdgeKind::Sometimes, Some(May::Only(_))) => match may {
            May::Everything => false,
            May::Only(allowed) => !allowed.contains(&edge.to.as_str()),
        },
        (EdgeKind::Always, None) => GUESTS.contains(&name.as_str()) && !GUESTS_MAY_BRING.contains(&edge.to.as_str()),
        (EdgeKind::Sometimes | EdgeKind::Dev, None) | (EdgeKind::Dev, Some(May::Only(_))) => false,
    };
    let problem = |edge: &Edge| {
        format!("`{name}` must not depend on `{}`: see the table of rooms in xtask/src/tidy/edges.rs", edge.to)
    };
    package.edges.iter().filter(refused).map(problem).collect()
}

fn row(name: &str) -> Option<&'static May> {
    ROOMS.iter().find(|(room, _)| *room == name).map(|(_, may)| may)
}

#[cfg(test)]
mod tests;
