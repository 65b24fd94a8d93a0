//! Things whose end may block, such as open files: they rest here between two jobs and are dropped on the disk's own threads.
use super::{Disk, OnDisk};

/// Something that only a job on the disk may touch. Closing a file can block as long as writing it (a network file system
/// sends what it holds back), so a handle that is dropped elsewhere is brought to the disk's threads first.
#[derive(Debug)]
pub struct Parked<T: Send + 'static> {
    /// Always there until the end.
    inner: Option<T>,
    disk: Disk,
}

impl<T: Send + 'static> Parked<T> {
    /// Parks it with its disk.
    pub fn new(disk: &Disk, inner: T) -> Self {
        Self { inner: Some(inner), disk: disk.clone() }
    }

    /// To be looked at in a job.
    pub fn get(&self, _: &OnDisk) -> &T {
        self.inner.as_ref().expect("it is taken out only by drop")
    }

    /// To be changed in a job.
    pub fn get_mut(&mut self, _: &OnDisk) -> &mut T {
        self.inner.as_mut().expect("it is taken out only by drop")
    }
}

impl<T: Send + 'static> Drop for Parked<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.disk.bury(Box::new(inner));
        }
    }
}
