//! A whole site in one directory: delivery, transfer tree, production area, secrets, configuration, and on loopback a store
//! and a LIMS.
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::lims::{Lims, NewData, NewRun, NewSample, Run, Sample, Settings, Stats, Udf};
use super::reads;
use super::store::{self, Store};
use crate::conf::Role;
use crate::fs;
use crate::package::Priority;
use crate::signature::Signer;

const RUN_ID: &str = "20260612_LH00534_0123_A22ABCDLT4";
const FLOWCELL: &str = "22ABCDLT4";
/// The LIMS project of all samples.
pub const PROJECT: &str = "Diag-wgs1";
const DEMULTIPLEXING: &str = "Demultiplexing and QC";
const SEQUENCING: &str = "NovaSeq X Run";

/// How a site behaves.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Life of the store's tokens; fresh ones are written after a third of it.
    pub token_life: Duration,
    /// More lines for both configuration files.
    pub more: String,
    /// More lines for one side's.
    pub more_of: Vec<(Role, String)>,
    /// The LIMS as something other than a plain well-behaved one.
    pub lims: Settings,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            token_life: Duration::from_secs(20),
            more: String::new(),
            more_of: Vec::new(),
            lims: Settings::default(),
        }
    }
}

/// One sample's order and delivery.
#[derive(Clone, Debug)]
pub struct Order {
    /// The laboratory's number, `HG12345677`.
    pub dna: String,
    /// How soon.
    pub priority: Priority,
    /// Family number and relation, for a member of a trio.
    pub family: Option<(String, &'static str)>,
    /// Which reads.
    pub reads: Reads,
}

/// Which reads a sample gets.
#[derive(Clone, Debug)]
pub enum Reads {
    /// Made up, of about this many bytes a file.
    Made(u64),
    /// Copies of these two.
    Real(PathBuf, PathBuf),
}

/// A site that is up.
pub struct Site {
    /// Where everything lies.
    pub dir: PathBuf,
    /// The LIMS, seen from the laboratory.
    pub lims: Lims,
    /// The store, seen from its operator.
    pub store: Store,
    /// Address of the store.
    pub endpoint: String,
    /// Address of the LIMS.
    pub lims_base: String,
    run: Run,
    project: String,
    ordered: u32,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn said<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> String {
    move |e| format!("could not {what}: {}", crate::chain(&e))
}

impl Site {
    /// Makes the directory, starts store and LIMS, writes secrets and both configuration files.
    pub async fn open(dir: &Path, options: &SiteOptions) -> Result<Self, String> {
        fs::create_dir(dir).map_err(said("make the directory"))?;
        let dir = dir.canonicalize().map_err(said("find the directory"))?;
        let key = |access: &str| store::Key {
            access: access.into(),
            secret: format!("{access}-secret-for-the-demonstration"),
        };
        let store = Store::new(store::Settings {
            root: dir.join("store"),
            bucket: "p22-import".into(),
            project: "p22".into(),
            sender: key("sender"),
            receiver: key("receiver"),
            token_life: options.token_life,
        });
        let store = store.map_err(said("make the store"))?;
        let lims = Lims::new(options.lims.clone());
        let (for_store, endpoint) = listen().await?;
        let (for_lims, lims_base) = listen().await?;
        let serving = store.clone();
        let mut tasks = vec![tokio::spawn(serving.serve(for_store))];
        let serving = lims.clone();
        tasks.push(tokio::spawn(async move {
            if let Err(error) = serving.serve(for_lims).await {
                tracing::error!(%error, "the demonstration's LIMS stopped serving");
            }
        }));
        let project = lims.add_project(PROJECT, vec![Udf::string("Project type", "Diagnostics")]);
        let run = lims.add_run(NewRun {
            run_id: RUN_ID.into(),
            flowcell_id: FLOWCELL.into(),
            sequencing_type: SEQUENCING.into(),
            demux_type: DEMULTIPLEXING.into(),
            lanes: 8,
            udfs: Vec::new(),
        });
        let lims_base = format!("{lims_base}/api/v2");
        let site = Self { dir, lims, store, endpoint, lims_base, run, project, ordered: 0, tasks };
        site.furnish(options)?;
        Ok(site)
    }

    fn furnish(&self, options: &SiteOptions) -> Result<(), String> {
        let at = |path: &str| self.dir.join(path);
        for path in [
            "nsc/delivery",
            "nsc/transfer",
            "nsc/secrets",
            "tsd/secrets",
            "tsd/archive/samples",
            "conf",
            "tsd/production/data/analyses-work",
            "tsd/production/data/analyses-results/singles",
            "tsd/production/data/analyses-results/trios",
            "tsd/production/ella/data/analyses/incoming",
        ] {
            fs::create_dir(&at(path)).map_err(said("make a directory"))?;
        }
        fs::create_dir(&self.delivery()).map_err(said("make the delivery"))?;
        let secret = |path: &str, text: &str| -> Result<(), String> {
            fs::write_durably(&at(path), text.as_bytes()).map_err(said("write a secret"))?;
            std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(0o600))
                .map_err(said("protect a secret"))
        };
        secret("nsc/secrets/s3", "sender-secret-for-the-demonstration\n")?;
        secret("tsd/secrets/s3", "receiver-secret-for-the-demonstration\n")?;
        secret("nsc/secrets/lims", &format!("{}\n", options.lims.password))?;
        let (private, public) = Signer::generate().map_err(said("make a signing key"))?;
        secret("nsc/secrets/signing-key", &private)?;
        secret("tsd/secrets/allowed_signers", &format!("gdx-login namespaces=\"tsd-import\" {public}\n"))?;
        for role in [Role::Nsc, Role::Tsd] {
            let mine = options.more_of.iter().filter(|(r, _)| *r == role).map(|(_, text)| text.as_str());
            let more: String =
                std::iter::once(options.more.as_str()).chain(mine).collect::<Vec<_>>().join("\n");
            let text = self.conf_text(role, &options.lims) + &more;
            fs::write_durably(&self.conf(role), text.as_bytes()).map_err(said("write a configuration"))?;
        }
        self.renew_token()?;
        Ok(())
    }

    /// Keeps the token files fresh; without it they expire.
    pub fn keep_tokens_fresh(&mut self, every: Duration) {
        let (store, paths) = (self.store.clone(), self.token_files());
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if let Err(error) = write_token(&store, &paths) {
                    tracing::error!(error, "the tokens will expire");
                }
            }
        }));
    }

    /// Writes a fresh token for both sides.
    pub fn renew_token(&self) -> Result<(), String> {
        write_token(&self.store, &self.token_files())
    }

    fn token_files(&self) -> [PathBuf; 2] {
        ["nsc", "tsd"].map(|side| self.dir.join(side).join("secrets/token"))
    }

    /// A role's configuration file.
    pub fn conf(&self, role: Role) -> PathBuf {
        self.dir.join("conf").join(format!("{role}.toml"))
    }

    /// A role's state directory.
    pub fn state(&self, role: Role) -> PathBuf {
        self.dir.join(role.as_str()).join("state")
    }

    /// Where FASTQ is delivered.
    pub fn delivery(&self) -> PathBuf {
        self.dir.join("nsc/delivery").join(format!("260612_LH00534.A.Project_{PROJECT}")).join("fastq")
    }

    /// Where a kind lands.
    pub fn landing(&self, kind: &str) -> PathBuf {
        self.dir.join("tsd").join(match kind {
            "samples" => "archive/samples",
            "analyses" => "production/data/analyses-work",
            "ella-incoming" => "production/ella/data/analyses/incoming",
            "analyses-results/singles" => "production/data/analyses-results/singles",
            _ => "production/data/analyses-results/trios",
        })
    }

    fn conf_text(&self, role: Role, lims: &Settings) -> String {
        let (dir, endpoint, base) = (self.dir.display(), &self.endpoint, &self.lims_base);
        let (host, key) = match role {
            Role::Nsc => ("gdx-login", "sender"),
            Role::Tsd => ("p22-hpc-02", "receiver"),
        };
        let mut text = format!(
            r#"# written by the demonstration
role = "{role}"
host = "{host}"
state.dir = "{dir}/{role}/state"
log.dir = "{dir}/{role}/log"
work.rhythm = "250 ms"
work.retry_first = "500 ms"
work.outage_max = "2 s"
store.endpoint = "{endpoint}"
store.bucket = "p22-import"
store.access_key = "{key}"
store.secret_key_file = "{dir}/{role}/secrets/s3"
store.part_size = "5 MiB"
store.headers.x-project-select = "p22"
store.header_files.token = "{dir}/{role}/secrets/token"
"#
        );
        match role {
            Role::Nsc => {
                text += &format!(
                    r#"lims.base = "{base}"
lims.user = "{}"
lims.password_file = "{dir}/nsc/secrets/lims"
lims.interval = "1 s"
lims.protocol = {}
lims.step = {}
lims.step_name = "{}"
lims.demultiplexing = "{DEMULTIPLEXING}"
lims.sequencing = "{SEQUENCING}"
delivery.root = "{dir}/nsc/delivery"
transfer.root = "{dir}/nsc/transfer"
transfer.scan = "1 s"
signing.key_file = "{dir}/nsc/secrets/signing-key"
"#,
                    lims.user, lims.protocol, lims.export_step, lims.export_step_name
                )
            }
            Role::Tsd => {
                text += &format!(
                    "watch.interval = \"1 s\"\nwatch.notifications = \"off\"\nsigners.allowed_file = \"{dir}/tsd/secrets/allowed_signers\"\ndisk.floor = \"64 MiB\"\n"
                );
                for (kind, ready) in [
                    ("samples", true),
                    ("analyses", true),
                    ("ella-incoming", true),
                    ("analyses-results/singles", false),
                    ("analyses-results/trios", false),
                ] {
                    let place = self.landing(kind);
                    text += &format!(
                        "landing.\"{kind}\" = {{ destination = \"{}\", ready = {ready}, dir_mode = \"2770\", file_mode = \"0660\" }}\n",
                        place.display()
                    );
                }
            }
        }
        text
    }

    /// Sequences a sample: its reads are delivered, the LIMS knows everything of it. Call [`Site::sums`] when all are.
    pub fn sequence(&mut self, order: &Order) -> Result<Sample, String> {
        self.ordered += 1;
        let (n, lane) = (self.ordered, (self.ordered - 1) % 8 + 1);
        let sheet_id = format!("wgs1_{}_{}", order.dna, uuid::Uuid::new_v4());
        let stem = format!("{sheet_id}_S{n}_L{lane:03}");
        match &order.reads {
            Reads::Made(bytes) => {
                drop(
                    reads::write_pair(&self.delivery(), &stem, FLOWCELL, lane, *bytes, u64::from(n))
                        .map_err(said("make reads"))?,
                );
            }
            Reads::Real(r1, r2) => {
                for (from, end) in [(r1, "R1"), (r2, "R2")] {
                    let to = self.delivery().join(format!("{stem}_{end}_001.fastq.gz"));
                    let _bytes = std::fs::copy(from, to)
                        .map_err(|e| format!("could not take {}: {e}", from.display()))?;
                }
            }
        }
        let mut udfs =
            vec![Udf::string("Gene panel Diag", "Nett_v01"), Udf::string("Kit version Diag", "wgs")];
        if order.priority != Priority::Normal {
            udfs.push(Udf::string("Priority Diag", order.priority.as_str()));
        }
        if let Some((number, relation)) = &order.family {
            udfs.push(Udf::string("Analysis type Diag", "trio"));
            udfs.push(Udf::string("Family number Diag", number));
            udfs.push(Udf::string("Relation Diag", relation));
        }
        let stats = Stats {
            reads: 1_200_000 + u64::from(n),
            q30_bases_pct: 92.4,
            mean_qual_score: Some(38.21),
            perfect_index_reads_pct: 97.9,
            one_mismatch_index_pct: 2.1,
        };
        let data = NewData {
            run: self.run.clone(),
            lane,
            reagent_label: format!("UDP{n:04} (ACGTACGT-TGCATGCA)"),
            sheet_id,
            dataset_uuid: None,
            sheet_position: n,
            read_passes: 2,
            ora: None,
            stats: Some(stats),
            udfs: Vec::new(),
        };
        let sample = NewSample {
            name: format!("{}-Nett-KIT-wgs", order.dna),
            project: self.project.clone(),
            udfs,
            data: vec![data],
        };
        self.lims.add_sample(sample).map_err(said("tell the LIMS"))
    }

    /// Writes the delivery's `md5sum.txt`, which the centre does before it queues the samples.
    pub fn sums(&self) -> Result<(), String> {
        reads::write_md5sums(&self.delivery()).map_err(said("write md5sum.txt"))
    }

    /// Changes one byte of a delivered file behind the back of its md5sum.
    pub fn damage(&self, dna: &str) -> Result<(), String> {
        let path = self.delivered(dna)?.into_iter().next_back().ok_or("nothing was delivered")?;
        let mut bytes = std::fs::read(&path).map_err(said("read reads"))?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        fs::write_durably(&path, &bytes).map_err(said("damage reads"))
    }

    /// The delivered files of a sample, R1 first.
    pub fn delivered(&self, dna: &str) -> Result<Vec<PathBuf>, String> {
        let files = fs::plain_files(&self.delivery()).map_err(said("list the delivery"))?;
        let of = |p: &PathBuf| p.to_string_lossy().contains(&format!("_{dna}_"));
        Ok(files.into_iter().filter(of).map(|p| self.delivery().join(p)).collect())
    }

    /// A package that another pipeline drops into the transfer tree: files first, the marker last.
    pub fn drop_in(
        &self,
        kind: &str,
        name: &str,
        priority: Priority,
        files: &[(&str, Vec<u8>)],
    ) -> Result<PathBuf, String> {
        let place = self.dir.join("nsc/transfer/production").join(priority.as_str()).join(kind).join(name);
        for (file, bytes) in files {
            let path = place.join(file);
            fs::create_dir(path.parent().unwrap_or(&place)).map_err(said("make a directory"))?;
            fs::write_durably(&path, bytes).map_err(said("write a result"))?;
        }
        fs::write_durably(&place.join("COMPLETE"), b"").map_err(said("mark a package"))?;
        Ok(place)
    }
}

fn write_token(store: &Store, paths: &[PathBuf; 2]) -> Result<(), String> {
    for path in paths {
        fs::write_volatile(path, format!("{}\n", store.issue_token()).as_bytes())
            .map_err(said("write a token"))?;
    }
    Ok(())
}

async fn listen() -> Result<(TcpListener, String), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(said("listen on loopback"))?;
    let address = listener.local_addr().map_err(said("listen on loopback"))?;
    Ok((listener, format!("http://{address}")))
}
