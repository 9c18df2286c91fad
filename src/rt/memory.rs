//! How the allocator of the binaries keeps memory that has been given back.

/// How long it is kept before the system gets it. A page that the system gives has to be zeroed first, and that is work of
/// the shard that asks: for the four copies of a profile of 30 MiB it took 50 ms on a virtual machine, in which others wait.
/// Large bodies come again within a minute or they do not matter.
const KEPT_MS: std::ffi::c_long = 60_000;

/// The option's place among those of mimalloc, the same since its version 2.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has freed memory kept for a while, if the environment does not say how long (`MIMALLOC_PURGE_DELAY`). To be called before
/// any thread is started.
pub fn keep_freed() {
    // SAFETY: writes one number into a table of the allocator's own, at an index that it checks.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads one number of that table.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // What this version of mimalloc waits by default: another number is another option.
        assert_eq!(get(), 1000);
        keep_freed();
        assert_eq!(get(), KEPT_MS);
    }
}
