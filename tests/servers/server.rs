//! A store that somebody else wrote, on free ports of loopback, with one bucket and one key.
use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

use crate::tools::{self, Running};

pub const BUCKET: &str = "p22-import";
const PATIENCE: Duration = Duration::from_secs(60);
/// A port that was free may be taken when the server wants it.
const STARTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SeaweedFs,
    Garage,
    Moto,
}

pub struct Server {
    pub kind: Kind,
    pub endpoint: String,
    pub region: &'static str,
    pub access_key: String,
    pub secret: String,
    running: Running,
}

impl Kind {
    fn region(self) -> &'static str {
        match self {
            Self::Garage => "garage",
            Self::SeaweedFs | Self::Moto => "us-east-1",
        }
    }
}

/// Ports that nobody has at this moment, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn seaweedfs(dir: &Path, access_key: &str, secret: &str) -> Result<(Running, u16), String> {
    let weed = tools::from_pypi()?.join("weed");
    let s3 = serde_json::json!({"identities": [{"name": "site", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        "credentials": [{"accessKey": access_key, "secretKey": secret}]}]});
    let config = dir.join("s3.json");
    std::fs::create_dir_all(dir.join("data")).map_err(|e| e.to_string())?;
    tsd_import::fs::write_durably(&config, s3.to_string().as_bytes()).map_err(|e| e.to_string())?;
    let ports = free_ports::<8>();
    let mut arguments: Vec<String> =
        ["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=100"]
            .map(str::to_owned)
            .to_vec();
    arguments.push("-master.volumeSizeLimitMB=1024".into());
    arguments.push(format!("-dir={}", dir.join("data").display()));
    arguments.push(format!("-s3.config={}", config.display()));
    let names = ["master.port", "volume.port", "filer.port", "s3.port"];
    for (n, name) in names.into_iter().enumerate() {
        arguments.push(format!("-{name}={}", ports[2 * n]));
        arguments.push(format!("-{name}.grpc={}", ports[2 * n + 1]));
    }
    // These would listen on ports of their own choice, and one tells the world about us.
    for off in ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"] {
        arguments.push(off.into());
    }
    let home = dir.display().to_string();
    let mut running = Running::start(&weed, &arguments, &[("HOME", &home)], dir.join("log"))?;
    let names = ["filer", "s3", "master-grpc", "volume-grpc", "filer-grpc", "s3-grpc"];
    let socket = |port: &u16| names.map(|name| format!("/tmp/seaweedfs-{name}-{port}.sock").into());
    running.leaves.extend(ports.iter().flat_map(socket));
    Ok((running, ports[6]))
}

fn garage(dir: &Path, access_key: &str, secret: &str) -> Result<(Running, u16), String> {
    let program = tools::garage()?;
    let [s3, rpc] = free_ports();
    let (at, config) = (dir.display(), dir.join("garage.toml"));
    let rpc_secret = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec";
    let text = format!(
        "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"lmdb\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{rpc_secret}\"\n\
         [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{s3}\"\n"
    );
    tsd_import::fs::write_durably(&config, text.as_bytes()).map_err(|e| e.to_string())?;
    let arguments = ["-c", &config.display().to_string(), "server", "--single-node", "--default-bucket"];
    let env = [
        ("GARAGE_DEFAULT_ACCESS_KEY", access_key),
        ("GARAGE_DEFAULT_SECRET_KEY", secret),
        ("GARAGE_DEFAULT_BUCKET", BUCKET),
    ];
    Ok((Running::start(&program, &arguments, &env, dir.join("log"))?, s3))
}

fn moto(dir: &Path) -> Result<(Running, u16), String> {
    let program = tools::from_pypi()?.join("moto_server");
    let [port] = free_ports();
    let arguments = ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
    Ok((Running::start(&program, &arguments, &[("PYTHONDONTWRITEBYTECODE", "1")], dir.join("log"))?, port))
}

impl Server {
    /// Starts it in `dir` and waits until the bucket is there; or why it cannot be had.
    pub async fn start(kind: Kind, dir: &Path) -> Result<Self, String> {
        // As Garage wants them; the others take any.
        let (access_key, secret) = ("GK31c2f218a2e44f485b94239e".to_owned(), "7d37d093435a41f2".repeat(4));
        let mut why = String::new();
        for n in 0..STARTS {
            let dir = dir.join(format!("{kind:?}-{n}"));
            tsd_import::fs::create_dir(&dir).map_err(|e| e.to_string())?;
            let (running, port) = match kind {
                Kind::SeaweedFs => seaweedfs(&dir, &access_key, &secret)?,
                Kind::Garage => garage(&dir, &access_key, &secret)?,
                Kind::Moto => moto(&dir)?,
            };
            let endpoint = format!("http://127.0.0.1:{port}");
            let (access_key, secret) = (access_key.clone(), secret.clone());
            let mut server = Self { kind, endpoint, region: kind.region(), access_key, secret, running };
            match server.is_up().await {
                Ok(()) => return Ok(server),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    async fn is_up(&mut self) -> Result<(), String> {
        let (client, begun) = (self.client(), Instant::now());
        loop {
            let bucket = match self.kind {
                Kind::Garage => {
                    client.head_bucket().bucket(BUCKET).send().await.map(drop).map_err(|e| format!("{e:?}"))
                }
                _ => {
                    client.create_bucket().bucket(BUCKET).send().await.map(drop).map_err(|e| format!("{e:?}"))
                }
            };
            let Err(why) = bucket else { return Ok(()) };
            // An earlier try may have made it without our having seen the answer.
            if why.contains("BucketAlreadyOwnedByYou") || why.contains("BucketAlreadyExists") {
                return Ok(());
            }
            let ended = self.running.ended();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let (kind, words) = (self.kind, self.running.last_words());
                return Err(format!("{kind:?} has no bucket after {PATIENCE:?} ({ended:?}): {why}\n{words}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A client that is not ours, so that what lies there is seen by other eyes.
    pub fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new(self.region))
            .credentials_provider(Credentials::new(&self.access_key, &self.secret, None, None, "test"))
            .force_path_style(true);
        Client::from_conf(config.build())
    }
}
