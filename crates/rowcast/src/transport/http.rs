pub(super) async fn tables() {}
