//! The chat's paths, each with what answers it: one list, for the router and for those who compare it with the documentation.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::house::Shared;

/// Where they begin.
pub(crate) const PREFIX: &str = "/chat/api";

/// Paths and what answers them.
#[derive(Default)]
pub(crate) struct Paths {
    router: Router<Shared>,
    /// Methods in lower case, and paths without the prefix.
    #[cfg_attr(not(test), allow(dead_code, reason = "what compares it with the documentation is a test"))]
    pub(crate) known: Vec<(&'static str, &'static str)>,
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {$(
        #[allow(dead_code, reason = "all methods are there, whichever are used")]
        #[doc = concat!("Adds a `", stringify!($method), "`.")]
        pub(crate) fn $name<T: 'static>(self, path: &'static str, answer: impl Handler<T, Shared>) -> Self {
            self.on(MethodFilter::$method, stringify!($name), path, answer)
        }
    )*};
}

impl Paths {
    methods! { get GET post POST patch PATCH put PUT delete DELETE }

    fn on<T: 'static>(
        mut self,
        filter: MethodFilter,
        method: &'static str,
        path: &'static str,
        answer: impl Handler<T, Shared>,
    ) -> Self {
        self.router = self.router.route(&format!("{PREFIX}{path}"), on(filter, answer));
        self.known.push((method, path));
        self
    }

    pub(crate) fn router(self) -> Router<Shared> {
        self.router
    }
}
