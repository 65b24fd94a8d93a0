//! The XML namespaces of Clarity's API v2, from Illumina's XSDs. Elements are matched by these, never by prefix: servers
//! declare prefixes as they please. Roots and batch children are namespaced, their children are in no namespace, except
//! `udf:*` and `file:*`.

macro_rules! namespaces {
    ($($name:ident = $path:literal),* $(,)?) => {
        $(
            #[doc = concat!("`http://genologics.com/ri", $path, "`")]
            pub const $name: &str = concat!("http://genologics.com/ri", $path);
        )*
    };
}

namespaces! {
    RI = "",
    ARTIFACT = "/artifact",
    CONFIGURATION = "/configuration",
    CONTAINER = "/container",
    FILE = "/file",
    PROCESS = "/process",
    PROJECT = "/project",
    PROTOCOL = "/protocolconfiguration",
    QUEUE = "/queue",
    RESEARCHER = "/researcher",
    ROUTING = "/routing",
    SAMPLE = "/sample",
    STAGE = "/stage",
    STEP = "/step",
    UDF = "/userdefined",
    VERSION = "/version",
}
