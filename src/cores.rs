//! Threads on cores of their own. In: numbers of cores, as the operating system counts them. Out: the calling thread stays on one. Bounded:
//! only cores that this process may use.

/// Cores that this process may use; empty where the system does not tell.
pub fn usable() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Keeps the calling thread on this core, and what it starts from now on. `None`: wherever the system likes.
pub fn pin(thread: &str, core: Option<usize>) {
    if let Some(id) = core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        tracing::warn!("thread '{thread}' could not be pinned to core {id}; it runs wherever the system likes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_core_and_others_keep_theirs() {
        let before = usable();
        let Some(last) = before.last().copied() else { return eprintln!("SKIPPED: this system does not tell its cores") };
        let pinned = std::thread::spawn(move || {
            pin("test", Some(last));
            usable()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
        pin("test", None);
        assert_eq!(usable(), before);
    }
}
