//! A PostgreSQL of one's own that is stopped, started, followed by a standby and succeeded by it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::postgres;

/// One cluster, and the address at which whoever is the primary is found.
pub struct Cluster {
    folder: PathBuf,
    prefix: Vec<String>,
    programs: PathBuf,
    /// The name of the node's folder, in which its data and its socket are.
    node: &'static str,
}

impl Cluster {
    /// A running one.
    pub fn new() -> Self {
        let programs = postgres::programs().expect("there is no initdb on this machine");
        let folder = tempfile::Builder::new().prefix("scrip-cluster-").tempdir().expect("a folder").keep();
        let prefix = postgres::unprivileged(&folder).expect("somebody to run it as");
        let cluster = Self { folder, prefix, programs, node: "first" };
        cluster.run("mkdir", &["first"]);
        cluster.run("initdb", &["-A", "trust", "-U", "scrip", "-E", "UTF8", "--no-sync", "-D", "first/data"]);
        cluster.start();
        symlink("first", cluster.folder.join("primary")).expect("a link");
        cluster
    }

    /// Where the primary is found.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://scrip@localhost/{database}?host={}", self.folder.join("primary").display())
    }

    /// Makes a database.
    pub fn create(&self, database: &str) {
        self.sql(&format!("CREATE DATABASE {database}"));
    }

    pub fn sql(&self, statement: &str) {
        let socket = self.folder.join(self.node);
        self.run(
            "psql",
            &["-q", "-U", "scrip", "-h", &socket.display().to_string(), "-d", "postgres", "-c", statement],
        );
    }

    pub fn start(&self) {
        let (node, socket) = (self.node, self.folder.join(self.node));
        let options = format!("-c listen_addresses= -c max_connections=200 -k {}", socket.display());
        let (data, log) = (format!("{node}/data"), format!("{node}/log"));
        self.run("pg_ctl", &["-w", "-D", &data, "-l", &log, "-o", &options, "start"]);
    }

    /// Stops it: `fast` ends its clients' transactions, `immediate` is a crash.
    pub fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-w", "-D", &format!("{}/data", self.node), "-m", mode, "stop"]);
    }

    /// Makes a standby that has every commit before its client hears of it.
    pub fn standby(&self) -> Self {
        let socket = self.folder.join(self.node).display().to_string();
        self.run("mkdir", &["second"]);
        self.run(
            "pg_basebackup",
            &["-h", &socket, "-U", "scrip", "-D", "second/data", "-R", "-c", "fast", "--no-sync"],
        );
        let second = Self {
            folder: self.folder.clone(),
            prefix: self.prefix.clone(),
            programs: self.programs.clone(),
            node: "second",
        };
        second.start();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        second
    }

    /// Makes it the primary, and lets everybody find it.
    pub fn promote(&self) {
        self.run("pg_ctl", &["-w", "-D", &format!("{}/data", self.node), "promote"]);
        let link = self.folder.join("primary");
        let next = self.folder.join("next");
        symlink(self.node, &next).expect("a link");
        std::fs::rename(next, link).expect("a link");
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let own = self.programs.join(program);
        let program = if own.is_file() { own.display().to_string() } else { program.to_owned() };
        let mut words = self.prefix.clone();
        words.push(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let ended = self.command(program, arguments).status().expect("it runs");
        assert!(ended.success(), "{program} {arguments:?}: {ended}\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join(self.node).join("log")).unwrap_or_default()
    }

    /// Whether it runs.
    fn is_running(&self, data: &Path) -> bool {
        let data = data.display().to_string();
        self.command("pg_ctl", &["-D", &data, "status"]).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.join(self.node).join("data");
        if self.is_running(&data) {
            let data = data.display().to_string();
            drop(self.command("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]).status());
        }
        if self.node == "first" {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
