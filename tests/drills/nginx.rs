//! A real nginx that serves files, and can be made to fail in every way that servers do.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use e2e::{
    client::{Client, get},
    loopback,
    process::{Directory, Process},
    wait::eventually,
};

/// Where Debian and nginx' own packages have it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"];

/// What `/items/...` is answered with. More than nginx sends in a second when it is slow.
const ITEM: usize = 8 * 1024;

/// What `/large/...` is answered with: much more than fits into the buffers between a server and a client.
pub(crate) const LARGE: usize = 16 * 1024 * 1024;

/// How long an nginx may take to be gone after it was killed.
const EXIT: Duration = Duration::from_secs(5);

/// One process and no other: what is signalled is what serves. `if` looks for the file at each request.
const CONFIG: &str = r"
daemon off;
master_process off;
pid $DIRECTORY/pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $DIRECTORY/body;
    proxy_temp_path $DIRECTORY/proxy;
    fastcgi_temp_path $DIRECTORY/fastcgi;
    uwsgi_temp_path $DIRECTORY/uwsgi;
    scgi_temp_path $DIRECTORY/scgi;
    keepalive_timeout 60s;
    keepalive_requests 1000000;
    reset_timedout_connection on;
    server {
        listen $ADDRESS;
        root $DIRECTORY/root;
        add_header X-Endpoint $ADDRESS always;
        if (-f $DIRECTORY/failing) { return 500; }
        if (-f $DIRECTORY/resetting) { return 444; }
        if (-f $DIRECTORY/slow) { set $limit_rate 6k; }
        location = /healthz { return 200 well; }
        location /items/ { error_page 405 =200 $uri; try_files /item =404; }
        location /large/ { try_files /large =404; }
        location /uploads/ { dav_methods PUT; create_full_put_path on; client_max_body_size 16m; }
    }
}
";

/// What an nginx may do to requests instead of serving them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// 500 to each.
    Failing,
    /// RST to each.
    Resetting,
    /// A second for an item.
    Slow,
}

impl Trouble {
    /// The file that makes it so.
    const fn lever(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Resetting => "resetting",
            Self::Slow => "slow",
        }
    }
}

/// An nginx on an address of its own.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Option<Process>,
    address: SocketAddr,
    directory: Directory,
}

impl Nginx {
    /// Starts one and waits until it answers.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (address, directory) = (SocketAddr::from((loopback::address(), 8080)), Directory::new());
        fs::create_dir_all(directory.path("root")).unwrap();
        fs::write(directory.path("root/item"), vec![b'i'; ITEM]).unwrap();
        fs::write(directory.path("root/large"), vec![b'l'; LARGE]).unwrap();
        let config = CONFIG
            .replace("$DIRECTORY", directory.path("").to_string_lossy().trim_end_matches('/'))
            .replace("$ADDRESS", &address.to_string());
        directory.write("nginx.conf", &config);
        let mut server = Self { process: None, address, directory };
        server.revive();
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it, with every connection, and refuses new ones.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal("KILL");
        process.wait_exit(EXIT).expect("killed");
    }

    /// Stops it in its tracks: the kernel goes on accepting connections for it, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal("STOP");
    }

    /// Lets it go on, after all of the above.
    #[track_caller]
    pub(crate) fn revive(&mut self) {
        if let Some(process) = &self.process {
            process.signal("CONT");
        } else {
            let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
            let program = program.expect("nginx is not installed: tests/programs nginx");
            let mut command = Command::new(program);
            command.arg("-p").arg(self.directory.path("")).arg("-c").arg(self.directory.path("nginx.conf"));
            self.process = Some(Process::spawn(command.args(["-e", "stderr"])));
        }
        eventually("nginx", || {
            let mut client = Client::try_connect(self.address).ok()?;
            (client.try_ask(&get("/healthz")).ok()?.status == 200).then_some(())
        });
    }

    /// Makes trouble, from the next request on.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.directory.write(trouble.lever(), "");
    }

    /// Ends it.
    #[track_caller]
    pub(crate) fn end(&self, trouble: Trouble) {
        fs::remove_file(self.directory.path(trouble.lever())).unwrap();
    }
}
