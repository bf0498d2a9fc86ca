//! Says when a file may have changed, by looking once a second at what its path leads to.
//!
//! - What is looked at is the file behind every symbolic link: device, inode, size, time of the last change. So a file that
//!   is written, renamed into place or reached over another link (as Kubernetes swaps a ConfigMap or a Secret) is seen alike,
//!   on every file system.
//! - A change is told once two looks in a row found the same: whoever still writes is left to finish, but not for ever.
//! - The first look always tells: whoever has read the file before learns of what changed in between. What is told is that
//!   the content may be another; whether it is, the reader finds out.
//!
//! Does not read the file.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The time between two looks.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How many looks a file that does not come to rest is given before it is told all the same.
const PATIENCE: u32 = 10;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// A file.
    File {
        /// Device and inode: which file.
        identity: (u64, u64),
        /// In bytes.
        size: u64,
        /// When its content changed, in seconds and nanoseconds.
        modified: (i64, i64),
        /// When its content, name or mode changed, in seconds and nanoseconds.
        changed: (i64, i64),
    },
    /// Nothing that can be looked at.
    Nothing,
}

impl Glance {
    /// Looks at what the path leads to. Waits for the file system.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Nothing, |file| Self::File {
            identity: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// Decides, look by look, when a change is told.
#[derive(Debug, Default)]
pub struct Attention {
    told: Option<Glance>,
    last: Option<Glance>,
    /// Looks since the first that found something else than what was told.
    restless: u32,
}

impl Attention {
    /// Takes a look into account. Says whether the file is to be read.
    pub fn is_drawn_by(&mut self, glance: Glance) -> bool {
        let is_at_rest = self.last.replace(glance) == Some(glance);
        if self.told == Some(glance) {
            self.restless = 0;
            return false;
        }
        self.restless += 1;
        let is_told = self.told.is_none() || is_at_rest || self.restless >= PATIENCE;
        if is_told {
            self.told = Some(glance);
            self.restless = 0;
        }
        is_told
    }
}

/// Watches one path.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    interval: Duration,
    attention: Attention,
}

impl Watch {
    /// Watches what `path` leads to, with a look every `interval`: [`INTERVAL`], unless a test cannot wait.
    #[must_use]
    pub fn new(path: PathBuf, interval: Duration) -> Self {
        Self { path, interval, attention: Attention::default() }
    }

    /// The same for somebody who reads the file after this: what is there now is not told. Waits for the file system.
    #[must_use]
    pub fn before_reading(path: PathBuf, interval: Duration) -> Self {
        let glance = Some(Glance::at(&path));
        Self { path, interval, attention: Attention { told: glance, last: glance, restless: 0 } }
    }

    /// Done when the file is to be read: after the first look, and then whenever it may have changed. Nothing is lost if it
    /// is dropped before.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.interval).await;
            let path = self.path.clone();
            // Fails only while the process ends.
            let glance = tokio::task::spawn_blocking(move || Glance::at(&path)).await.unwrap_or(Glance::Nothing);
            if self.attention.is_drawn_by(glance) {
                return;
            }
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of this test's own, which is removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cognigate-watch-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    const fn file(size: u64) -> Glance {
        Glance::File { identity: (1, 2), size, modified: (3, 4), changed: (3, 4) }
    }

    /// What is told of a row of looks.
    fn told(glances: &[Glance]) -> Vec<bool> {
        let mut attention = Attention::default();
        glances.iter().map(|glance| attention.is_drawn_by(*glance)).collect()
    }

    #[test]
    fn the_first_look_tells_and_then_each_change_once() {
        assert_eq!(told(&[file(1), file(1), file(1)]), [true, false, false]);
        assert_eq!(told(&[file(1), file(2), file(2), file(2)]), [true, false, true, false]);
        assert_eq!(told(&[file(1), Glance::Nothing, Glance::Nothing, Glance::Nothing]), [true, false, true, false]);
        assert_eq!(told(&[Glance::Nothing, file(1), file(1)]), [true, false, true]);
    }

    #[test]
    fn what_was_there_and_is_back_is_no_change() {
        assert_eq!(told(&[file(1), Glance::Nothing, file(1), file(1)]), [true, false, false, false]);
    }

    #[test]
    fn a_file_that_does_not_come_to_rest_is_told_all_the_same() {
        let restless: Vec<_> = (0..=20).map(file).collect();
        let told = told(&restless);
        let told: Vec<_> = (0..).zip(told).filter(|(_, is_told)| *is_told).map(|(look, _)| look).collect();
        assert_eq!(told, [0, 10, 20]);
    }

    #[test]
    fn a_look_tells_one_file_from_the_other() {
        let folder = Folder::new("glance");
        let [one, other, link] = ["one", "other", "link"].map(|name| folder.0.join(name));
        for file in [&one, &other] {
            fs::write(file, "text").unwrap();
        }
        symlink(&one, &link).unwrap();
        assert_eq!(Glance::at(&link), Glance::at(&one));
        assert_ne!(Glance::at(&one), Glance::at(&other));
        assert_eq!(Glance::at(&folder.0.join("absent")), Glance::Nothing);
        let before = Glance::at(&link);
        fs::write(&one, "texts").unwrap();
        assert_ne!(Glance::at(&link), before);
    }

    #[tokio::test]
    async fn a_swapped_link_and_a_rename_are_seen() {
        let folder = Folder::new("swap");
        let [one, other, link, fresh] = ["one", "other", "link", "fresh"].map(|name| folder.0.join(name));
        for file in [&one, &other] {
            fs::write(file, "text").unwrap();
        }
        symlink(&one, &link).unwrap();
        let mut watch = Watch::new(link.clone(), Duration::from_millis(5));
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, watch.changed()).await.expect("the first look");
        symlink(&other, &fresh).unwrap();
        fs::rename(&fresh, &link).unwrap();
        tokio::time::timeout(limit, watch.changed()).await.expect("another link");
        fs::rename(&one, &other).unwrap();
        tokio::time::timeout(limit, watch.changed()).await.expect("another file");
    }
}
