//! The table `rum.sourcemap`.

use super::{Kind, Table, example, key, size, table};

pub(super) const TABLE: Table = table(
    "rum.sourcemap",
    "Source maps, which /v1/sourcemap takes: errors get the place in the original source. Archives are in rum/ of\n\
     data_dir. Stacks of Android and iOS are resolved by programs that are not part of the gateway.",
    &[
        key("enabled", Kind::Bool, "true", "false: there is no /v1/sourcemap, and errors stay as they are."),
        key(
            "capacity",
            size(1 << 20),
            "\"10GiB\"",
            "How much archives, and what they are unpacked to, may take.",
        ),
        key(
            "cache",
            Kind::Size { min: 1 << 20, max: 64 << 30 },
            "\"256MiB\"",
            "How much of the maps is kept in memory.",
        ),
        key(
            "wait",
            Kind::Time { zero: false },
            "\"5s\"",
            "How long a request with errors waits for their original places; then they are stored without.",
        ),
        key(
            "tool_timeout",
            Kind::Time { zero: false },
            "\"30s\"",
            "How long a program may take for a stack.",
        ),
        key("tool_runs", Kind::Integer { min: 1, max: 200 }, "4", "How many programs run at once."),
        example(
            "android_cmdline_home",
            Kind::Text,
            "\"/opt/android/cmdline-tools/latest\"",
            "Android's command-line tools: bin/retrace, for mappings of R8.",
        ),
        example(
            "proguard_home",
            Kind::Text,
            "\"/opt/proguard\"",
            "ProGuard: bin/retrace.sh, for its own mappings.",
        ),
        example(
            "ndk_home",
            Kind::Text,
            "\"/opt/android-ndk\"",
            "Android's NDK: ndk-stack, for native crashes.",
        ),
        example(
            "atos_bin_path",
            Kind::Text,
            "\"/usr/local/bin/atosl\"",
            "atos or atosl, for crashes of iOS.",
        ),
    ],
);
