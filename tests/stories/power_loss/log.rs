//! The log of `strace -f -y`: which calls changed files, when each began and when it was over.
use std::collections::BTreeMap;

/// A call that came to a good end, or of which nobody knows because the process was killed in it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Lines of the log.
    pub begin: usize,
    pub end: Option<usize>,
    pub call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Open {
        path: String,
        fd: Option<u64>,
        create: bool,
        truncate: bool,
        append: bool,
    },
    Close {
        fd: u64,
    },
    /// `at`: none is where the file stands. `text`: what was written, as much as the log has of it.
    Write {
        fd: u64,
        at: Option<u64>,
        bytes: u64,
        text: Vec<u8>,
    },
    Allocate {
        fd: u64,
        until: u64,
    },
    Truncate {
        fd: u64,
        size: u64,
    },
    Sync {
        fd: u64,
        path: String,
    },
    Mkdir {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
}

pub const TRACED: &str = "openat,open,creat,close,write,pwrite64,writev,pwritev,pwritev2,fallocate,ftruncate,fsync,fdatasync,\
     mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,sync_file_range,copy_file_range,sendfile,io_uring_setup,dup,dup2,dup3";

/// Calls in the order in which they began.
pub fn parse(log: &str) -> Vec<Step> {
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut steps = Vec::new();
    for (n, line) in log.lines().enumerate() {
        let Some((tid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            drop(open.insert(tid, (n, begun.to_owned())));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((begin, mut text)) = open.remove(tid) else { continue };
            text += resumed.split_once(" resumed>").map_or("", |(_, rest)| rest);
            steps.extend(step(begin, Some(n), &text));
        } else {
            steps.extend(step(n, Some(n), rest));
        }
    }
    for (begin, text) in open.into_values() {
        steps.extend(step(begin, None, &text));
    }
    steps.sort_by_key(|step| step.begin);
    steps
}

fn step(begin: usize, end: Option<usize>, text: &str) -> Option<Step> {
    let (name, rest) = text.split_once('(')?;
    let (args, result) = match end {
        Some(_) => rest.rsplit_once(" = ")?,
        None => (rest, ""),
    };
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let args = arguments(args.trim_end().strip_suffix(')').unwrap_or(args));
    let result = number(result);
    let call = call(name, &args, result)?;
    Some(Step { begin, end, call })
}

fn call(name: &str, args: &[String], result: Option<u64>) -> Option<Call> {
    let arg = |n: usize| args.get(n).map_or("", String::as_str);
    let fd = || number(arg(0));
    let call = match name {
        "openat" | "open" => {
            let (path, flags) =
                if name == "open" { (text(arg(0)), arg(1)) } else { (below(arg(0), arg(1)), arg(2)) };
            let has = |flag: &str| flags.split('|').any(|f| f == flag);
            assert!(!has("O_TMPFILE"), "the model knows no files without a name");
            let (create, truncate, append) = (has("O_CREAT"), has("O_TRUNC"), has("O_APPEND"));
            Call::Open { path, fd: result, create, truncate, append }
        }
        "close" => Call::Close { fd: fd()? },
        "write" => Call::Write { fd: fd()?, at: None, bytes: result?, text: bytes(arg(1)) },
        "pwrite64" => Call::Write { fd: fd()?, at: number(arg(3)), bytes: result?, text: Vec::new() },
        "writev" => Call::Write { fd: fd()?, at: None, bytes: result?, text: Vec::new() },
        "pwritev" | "pwritev2" => {
            Call::Write { fd: fd()?, at: number(arg(3)), bytes: result?, text: Vec::new() }
        }
        "fallocate" => Call::Allocate { fd: fd()?, until: number(arg(2))? + number(arg(3))? },
        "ftruncate" => Call::Truncate { fd: fd()?, size: number(arg(1))? },
        "fsync" | "fdatasync" => Call::Sync { fd: fd()?, path: annotated(arg(0)) },
        "mkdir" => Call::Mkdir { path: text(arg(0)) },
        "mkdirat" => Call::Mkdir { path: below(arg(0), arg(1)) },
        "rename" => Call::Rename { from: text(arg(0)), to: text(arg(1)) },
        "renameat" | "renameat2" => Call::Rename { from: below(arg(0), arg(1)), to: below(arg(2), arg(3)) },
        "link" => Call::Link { from: text(arg(0)), to: text(arg(1)) },
        "linkat" => Call::Link { from: below(arg(0), arg(1)), to: below(arg(2), arg(3)) },
        "unlink" | "rmdir" => Call::Remove { path: text(arg(0)) },
        "unlinkat" => Call::Remove { path: below(arg(0), arg(1)) },
        // Pipes and sockets are duplicated and fed; files in other ways than those above would be unseen.
        "dup" | "dup2" | "dup3" => return None,
        "execve" | "exit" | "exit_group" => return None,
        other => panic!("the model does not know {other}({args:?})"),
    };
    Some(call)
}

/// Splits at the commas that stand in no string, list or path.
fn arguments(text: &str) -> Vec<String> {
    let (mut args, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0_i32, false, false);
    for c in text.chars() {
        if !quoted {
            match c {
                '[' | '{' | '<' | '(' => depth += 1,
                ']' | '}' | '>' | ')' => depth -= 1,
                ',' if depth == 0 => {
                    args.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        args.last_mut().unwrap().push(c);
    }
    args.iter().map(|arg| arg.trim().to_owned()).collect()
}

fn number(text: &str) -> Option<u64> {
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// `12</path>`: the path.
fn annotated(fd: &str) -> String {
    fd.split_once('<').and_then(|(_, path)| path.strip_suffix('>')).unwrap_or_default().to_owned()
}

fn below(dir: &str, name: &str) -> String {
    let name = text(name);
    if name.starts_with('/') { name } else { format!("{}/{name}", annotated(dir)) }
}

fn text(quoted: &str) -> String {
    String::from_utf8_lossy(&bytes(quoted)).into_owned()
}

/// What a C string says.
fn bytes(quoted: &str) -> Vec<u8> {
    let inner = quoted.trim_end_matches("...").strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    let mut rest = inner.unwrap_or_default().as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [kind, tail @ ..] = rest else { break };
        rest = tail;
        out.push(match kind {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'0'..=b'7' => {
                let mut value = u32::from(kind - b'0');
                for _ in 0..2 {
                    let [digit @ b'0'..=b'7', tail @ ..] = rest else { break };
                    value = value * 8 + u32::from(digit - b'0');
                    rest = tail;
                }
                value as u8
            }
            other => *other,
        });
    }
    out
}

#[test]
fn lines_of_strace_are_read() {
    let log = r#"7 openat(AT_FDCWD</w>, "/d/a b\"\303\245", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0666) = 9</d/a>
7 write(9</d/a>, "{\"x\": \"a, (b) = 1\"}\n", 20 <unfinished ...>
8 fsync(4</d>)              = 0
8 unlinkat(4</d>, "gone", 0) = -1 ENOENT (No such file or directory)
7 <... write resumed>)             = 20
8 renameat2(AT_FDCWD</w>, "/d/a", AT_FDCWD</w>, "/e/b", RENAME_NOREPLACE <unfinished ...>
8 +++ killed by SIGKILL +++
"#;
    let steps = parse(log);
    let (create, truncate, append) = (true, true, false);
    let expected = [
        (0, Some(0), Call::Open { path: "/d/a b\"å".into(), fd: Some(9), create, truncate, append }),
        (1, Some(4), Call::Write { fd: 9, at: None, bytes: 20, text: b"{\"x\": \"a, (b) = 1\"}\n".to_vec() }),
        (2, Some(2), Call::Sync { fd: 4, path: "/d".into() }),
        (5, None, Call::Rename { from: "/d/a".into(), to: "/e/b".into() }),
    ];
    assert_eq!(steps.len(), expected.len(), "{steps:?}");
    for (step, (begin, end, call)) in steps.iter().zip(expected) {
        assert_eq!((step.begin, step.end, &step.call), (begin, end, &call));
    }
}
