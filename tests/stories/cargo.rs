//! A sender that puts whatever it is told into the bucket: right packages, damaged ones, forged ones.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tsd_import::package::{Md5Hex, PackageId, Sha256Hex};
use tsd_import::signature::Signer;

use crate::world::World;

pub const RESULTS: &str = "analyses-results/trios";

/// A package on its way into the bucket.
pub struct Cargo {
    pub kind: String,
    pub name: String,
    pub revision: u32,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Text of `SHA256SUMS`, if not that of the files.
    pub manifest: Option<Vec<u8>>,
    /// What becomes of the objects behind the manifest.
    pub spoil: Vec<(String, Spoil)>,
    /// What becomes of the fields of `COMMIT`.
    pub fields: Vec<(String, Value)>,
    /// Bytes of `COMMIT`, if not those of the fields.
    pub text: Option<Vec<u8>>,
    pub signature: Signature,
}

pub enum Spoil {
    Gone,
    Bytes(Vec<u8>),
}

pub enum Signature {
    Right,
    Gone,
    Text(Vec<u8>),
    /// Of other bytes.
    OfOther,
    By(Box<Signer>),
}

impl Cargo {
    pub fn results(name: &str) -> Self {
        let files = [
            ("data.vcf", &b"##fileformat=VCFv4.2\n"[..]),
            ("qc/report.pdf", b"%PDF-1.7 report"),
            ("empty", b""),
        ];
        Self::of(RESULTS, name, files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).into())
    }

    pub fn sample(name: &str) -> Self {
        let reads = ["R1", "R2"]
            .map(|mate| (format!("HG1-KIT_S1_{mate}_001.fastq.gz"), mate.repeat(40).into_bytes()));
        let listed: Vec<Value> = reads
            .iter()
            .map(
                |(path, bytes)| json!({"path": path, "md5": Md5Hex::of(bytes).as_str(), "size": bytes.len()}),
            )
            .collect();
        let document = json!({"name": name, "sample_id": "HG1", "project": "Diag-wgs1", "sequencer_id": "LH00534",
            "flowcell_id": "22ABCDLT4", "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {},
            "reads": listed});
        let mut files: BTreeMap<String, Vec<u8>> = reads.into();
        drop(files.insert(format!("{name}.sample"), document.to_string().into_bytes()));
        Self::of("samples", name, files)
    }

    pub fn analysis(name: &str) -> Self {
        let document = json!({"name": name, "type": "genome", "samples": ["Diag-wgs1-HG1"], "priority": "1", "params": {}});
        let files = [(format!("{name}.analysis"), document.to_string().into_bytes())].into();
        Self::of("analyses", name, files)
    }

    pub fn of(kind: &str, name: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        let (spoil, fields) = (Vec::new(), Vec::new());
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Self {
            kind,
            name,
            revision: 1,
            files,
            manifest: None,
            spoil,
            fields,
            text: None,
            signature: Signature::Right,
        }
    }

    /// Another `.sample`, and everything else to match it.
    pub fn document(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let path = self
            .files
            .keys()
            .find(|path| path.ends_with(".sample") || path.ends_with(".analysis"))
            .unwrap()
            .clone();
        let mut document: Value = serde_json::from_slice(&self.files[&path]).unwrap();
        change(&mut document);
        drop(self.files.insert(path, document.to_string().into_bytes()));
        self
    }

    pub fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        drop(self.files.insert(path.to_owned(), bytes.to_vec()));
        self
    }

    pub fn without(mut self, path: &str) -> Self {
        assert!(self.files.remove(path).is_some(), "{path}");
        self
    }

    /// The object holds other bytes than the manifest says.
    pub fn holds(mut self, path: &str, bytes: &[u8]) -> Self {
        assert!(self.files.contains_key(path), "{path}");
        self.spoil.push((path.to_owned(), Spoil::Bytes(bytes.to_vec())));
        self
    }

    pub fn lost(mut self, path: &str) -> Self {
        self.spoil.push((path.to_owned(), Spoil::Gone));
        self
    }

    pub fn sums(&self) -> String {
        self.files.iter().map(|(path, bytes)| format!("{}  {path}\n", Sha256Hex::of(bytes))).collect()
    }

    /// Another manifest, committed as it is.
    pub fn manifest(mut self, change: impl FnOnce(String) -> Vec<u8>) -> Self {
        self.manifest = Some(change(self.sums()));
        self
    }

    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.push((name.to_owned(), value));
        self
    }

    pub fn text(mut self, text: &[u8]) -> Self {
        self.text = Some(text.to_vec());
        self
    }

    pub fn signed(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }
}

/// A sender that puts whatever it is told.
pub struct Sender {
    pub bucket: PathBuf,
    pub signer: Signer,
    pub sequence: u64,
    pub previous: Option<Sha256Hex>,
}

pub fn put(path: &Path, bytes: &[u8]) {
    tsd_import::fs::create_dir(path.parent().unwrap()).unwrap();
    tsd_import::fs::write_durably(path, bytes).unwrap();
}

impl Sender {
    pub fn of(world: &World) -> Self {
        let bucket = world.site.dir.join("store/p22-import/tsd-import");
        let signer = Signer::from_file(&world.site.dir.join("nsc/secrets/signing-key")).unwrap();
        Self { bucket, signer, sequence: 0, previous: None }
    }

    pub fn put(&mut self, cargo: &Cargo) -> PackageId {
        let place = self.bucket.join(&cargo.kind).join(&cargo.name).join(format!("r{}", cargo.revision));
        for (path, bytes) in &cargo.files {
            put(&place.join(path), bytes);
        }
        let manifest = cargo.manifest.clone().unwrap_or_else(|| cargo.sums().into_bytes());
        put(&place.join("SHA256SUMS"), &manifest);
        self.sequence += 1;
        let mut commit = json!({"version": 1, "package": cargo.name, "kind": cargo.kind, "revision": cargo.revision, "priority": "normal",
            "files": cargo.files.len(), "bytes": cargo.files.values().map(|bytes| bytes.len() as u64).sum::<u64>(),
            "manifest_sha256": Sha256Hex::of(&manifest).as_str(), "sender": "gdx-login/1", "sequence": self.sequence,
            "previous": self.previous.as_ref().map(Sha256Hex::as_str), "committed_at": "2026-06-12T10:00:00Z"});
        for (name, value) in &cargo.fields {
            match value {
                Value::Null => drop(commit.as_object_mut().unwrap().remove(name)),
                value => commit[name] = value.clone(),
            }
        }
        let text = cargo.text.clone().unwrap_or_else(|| format!("{commit:#}\n").into_bytes());
        self.previous = Some(Sha256Hex::of(&text));
        let signature = match &cargo.signature {
            Signature::Right => Some(self.signer.sign(&text).unwrap().into_bytes()),
            Signature::Gone => None,
            Signature::Text(text) => Some(text.clone()),
            Signature::OfOther => Some(self.signer.sign(b"other").unwrap().into_bytes()),
            Signature::By(signer) => Some(signer.sign(&text).unwrap().into_bytes()),
        };
        if let Some(signature) = signature {
            put(&place.join("COMMIT.sig"), &signature);
        }
        put(&place.join("COMMIT"), &text);
        for (path, spoil) in &cargo.spoil {
            match spoil {
                Spoil::Gone => tsd_import::fs::remove_file(&place.join(path)).unwrap(),
                Spoil::Bytes(bytes) => put(&place.join(path), bytes),
            }
        }
        format!("{}/{}/r{}", cargo.kind, cargo.name, cargo.revision).parse().unwrap()
    }
}
