//! In: the control groups of this process. Out: the least memory limit on the way up to the root, if there is one.
//! Bounded: one small file a level of the hierarchy; asked once, at start.

use std::path::Path;

/// The kernel spells "no limit" in version 1 as the largest number of whole pages; nobody has this much.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// None if there is no limit, or nothing that tells.
pub(super) fn memory_limit_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    least_limit(&groups, Path::new("/sys/fs/cgroup"))
}

/// `groups`: lines of `number:controllers:/path`; version 2 has one with number 0 and no controllers.
fn least_limit(groups: &str, mount: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match controllers {
            "" => least_on_the_way(mount, path, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                least_on_the_way(&mount.join("memory"), path, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

/// A group may not take more than any of its ancestors. In a container the path may be one of the host's, of which only the root is there.
fn least_on_the_way(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let group = Path::new(path.trim_start_matches('/'));
    let limits = group.ancestors().filter_map(|group| {
        let text = std::fs::read_to_string(mount.join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok().filter(|limit| *limit < NO_LIMIT_BYTES)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_counts_in_both_versions() {
        let mount = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| least_limit(groups, mount.path());
        assert_eq!(limit("0::/\n"), None, "nothing is mounted");
        write("memory.max", "max\n");
        write("a/memory.max", "4096000\n");
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("0::/a/b\n"), Some(4_096_000));
        assert_eq!(limit("0::/a/gone\n"), Some(4_096_000), "a path of the host");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/x/memory.limit_in_bytes", "1024000\n");
        assert_eq!(limit("3:cpu,cpuacct:/x\n4:memory:/y\n0::/\n"), None);
        assert_eq!(limit("3:cpu,cpuacct:/x\n4:memory:/x\n0::/a\n"), Some(1_024_000));
        assert_eq!(limit(""), None);
    }

    #[test]
    fn this_process_can_be_asked() {
        assert!(memory_limit_bytes().is_none_or(|limit| limit > 1_000_000));
    }
}
