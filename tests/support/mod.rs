//! What the test binaries and benches share.

mod api;
mod assembly;
mod backend;
mod certificates;
mod cgroup;
mod commands;
mod counting_stores;
mod django;
mod older_schema;
mod openapi;
mod pgbouncer;
mod ports;
mod private_postgres;
mod private_redis;
mod program;
mod proxy;
mod raw;
mod relay;
mod request;
mod reverse_proxy;
mod servers;
mod service;
mod serving;
mod test_user;
mod waiting;

pub use self::{
    api::*, assembly::*, backend::*, certificates::*, cgroup::*, counting_stores::*, django::*, older_schema::*,
    pgbouncer::*, ports::*, private_postgres::*, private_redis::*, program::*, proxy::*, raw::*, relay::*, request::*,
    reverse_proxy::*, servers::*, service::*, test_user::*, waiting::*,
};
