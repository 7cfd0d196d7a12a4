//! Manifests as they were at a Git commit, by running `git`.
//!
//! `repository` runs the program, `base` finds the commit that a ref means, `tree` reads that commit's files, submodules included, and
//! `older` writes what the manifests reach of them into a temporary folder. Neither the work tree nor the repository is touched.

mod repository;
mod base;
mod tree;
mod older;

pub(super) use older::Older;
pub(super) use repository::Repository;
