//! A PostgreSQL to test on: `TEST_POSTGRES_URL`, or a throw-away cluster made with the machine's `initdb`.
//!
//! The cluster lives as long as the test program: a shell holds it and waits on a pipe that closes with us,
//! however we end, then stops it and deletes it.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::OnceCell;

static SERVER: OnceCell<Server> = OnceCell::const_new();

pub struct Server {
    /// The URL of the database `postgres`, without its name.
    base: String,
    options: String,
    holder: Option<Child>,
}

impl Server {
    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("{}{database}{}", self.base, self.options)
    }
}

/// The URL of a new, empty database.
pub async fn database() -> String {
    let server = SERVER.get_or_init(start).await;
    let name = format!("scrip_test_{}", uuid::Uuid::from_u128(random()).simple());
    let pool = sqlx::PgPool::connect(&server.url("postgres")).await.expect("the server answers");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.expect("a database");
    pool.close().await;
    server.url(&name)
}

/// A cluster of one's own, to be stopped.
pub async fn own_cluster() -> Server {
    let server = start_cluster().unwrap_or_else(|why| panic!("{why}"));
    wait_until_ready(&server).await;
    server
}

impl Server {
    /// Stops a cluster of one's own at once, as a power cut does to its clients.
    pub fn stop(mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            holder.wait().expect("it ends");
        }
    }
}

fn random() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}

async fn start() -> Server {
    if let Ok(url) = std::env::var("TEST_POSTGRES_URL") {
        let (rest, options) = url.split_once('?').map_or((url.as_str(), String::new()), |(a, b)| (a, format!("?{b}")));
        let base = rest.rsplit_once('/').filter(|(base, _)| base.contains("://") && !base.ends_with('/'));
        let base = format!("{}/", base.map_or(rest, |(base, _)| base));
        return Server { base, options, holder: None };
    }
    own_cluster().await
}

fn start_cluster() -> Result<Server, String> {
    let programs = programs().ok_or("there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")?;
    let folder =
        tempfile::Builder::new().prefix("scrip-postgres-").tempdir().map_err(|error| error.to_string())?.keep();
    let data = folder.join("data");
    let prefix = unprivileged(&folder)?;
    let command = |program: &str| {
        let mut words = prefix.clone();
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&folder);
        command
    };
    let initdb = programs.join("initdb").display().to_string();
    let made = command(&initdb)
        .args(["-A", "trust", "-U", "scrip", "-E", "UTF8", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .map_err(|error| format!("initdb could not be started: {error}"))?;
    if !made.status.success() {
        return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim()));
    }
    let script = "\"$0\" -D \"$1/data\" -k \"$1\" -c listen_addresses= -c max_connections=300 >\"$1/log\" 2>&1 & pid=$!
        read _; kill -INT $pid; wait $pid; rm -rf \"$1\"";
    let holder = command("sh")
        .args(["-c", script])
        .arg(programs.join("postgres"))
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("postgres could not be started: {error}"))?;
    let options = format!("?host={}", folder.display());
    Ok(Server { base: "postgres://scrip@localhost/".to_owned(), options, holder: Some(holder) })
}

/// What comes before PostgreSQL's programs in a folder of their own: it refuses to run as root.
pub fn unprivileged(folder: &Path) -> Result<Vec<String>, String> {
    if folder.metadata().map_err(|error| error.to_string())?.uid() != 0 {
        return Ok(Vec::new());
    }
    let user = ["postgres", "nobody"].into_iter().find(|user| id(user).is_some()).ok_or("no user to run it as")?;
    let (uid, gid) = id(user).expect("just found");
    chown(folder, Some(uid), Some(gid)).map_err(|error| error.to_string())?;
    Ok(["runuser", "-u", user, "--"].map(str::to_owned).to_vec())
}

/// Where its programs are.
pub fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(debian.map(|version| version.path().join("bin")))
        .find(|folder| is_file(folder, "initdb") && is_file(folder, "postgres"))
}

fn is_file(folder: &Path, name: &str) -> bool {
    folder.join(name).is_file()
}

fn id(user: &str) -> Option<(u32, u32)> {
    let number = |flag: &str| {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((number("-u")?, number("-g")?))
}

async fn wait_until_ready(server: &Server) {
    for _ in 0..300 {
        if let Ok(pool) = sqlx::PgPool::connect(&server.url("postgres")).await {
            pool.close().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the throw-away PostgreSQL did not start within 15 seconds");
}
