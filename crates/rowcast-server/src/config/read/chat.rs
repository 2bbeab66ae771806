//! The section `[chat]`.

use std::path::Path;
use std::time::Duration;

use rowcast_chat::{FilesPlace, Settings, Smtp};

use super::ingest::feed::expanded;
use super::{HOUR, Reader};
use crate::config::Config;

/// The cookie of the chat's users, where `auth.cookie` says nothing.
const COOKIE: &str = "rowcast";

impl Reader<'_> {
    /// `None`: there is no chat.
    pub(super) fn chat(&mut self) -> Option<Settings> {
        let settings = Settings {
            verify: self.yes("chat.verify_email"),
            public_url: self.public_url("chat.public_url"),
            token_ttl: self.duration("chat.token_ttl", Duration::from_secs(60), HOUR * 24 * 3_650),
            smtp: self.smtp(),
            files: self.files(),
            max_file: self.bytes("chat.max_file", 1, 1 << 40),
            quota: self.bytes("chat.quota", 0, 1 << 60),
            types: self.types("chat.types"),
            ..Settings::default()
        };
        self.yes("chat.enabled").then_some(settings)
    }

    /// What a text stands for that may name secrets; empty where it is wrong.
    fn secret_text(&mut self, key: &str) -> Option<String> {
        let text = self.text(key);
        let origin = self.setting(key).origin.clone();
        self.noted(&origin, key, expanded(&text)).filter(|text| !text.is_empty())
    }

    fn public_url(&mut self, key: &str) -> Option<String> {
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        let is_web = reqwest::Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        if !is_web {
            let fix = r#"write for example "https://chat.example.com""#;
            self.wrong(key, format!("{text:?} is not where a page can be"), fix);
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    fn smtp(&mut self) -> Option<Smtp> {
        let from = self.text("chat.smtp.from");
        let url = self.secret_text("chat.smtp.url")?;
        let smtp = Smtp { url, from, ca: None };
        if let Err(error) = smtp.check() {
            self.wrong(
                "chat.smtp.url",
                error.to_string(),
                r#"write for example "smtps://user:${PASSWORD}@mail.example.com""#,
            );
            return Some(smtp);
        }
        Some(self.smtp_ca(smtp))
    }

    fn smtp_ca(&mut self, smtp: Smtp) -> Smtp {
        let ca = self.text("chat.smtp.ca");
        if ca.is_empty() {
            return smtp;
        }
        match std::fs::read_to_string(&ca) {
            Ok(pem) => {
                let smtp = Smtp { ca: Some(pem), ..smtp };
                if let Err(error) = smtp.check() {
                    self.wrong("chat.smtp.ca", error.to_string(), "");
                }
                smtp
            }
            Err(error) => {
                self.wrong("chat.smtp.ca", format!("{ca} cannot be read: {error}"), "");
                smtp
            }
        }
    }

    fn files(&mut self) -> FilesPlace {
        let text = self.text("chat.files");
        let (access_key, secret_key) = (self.secret_text("chat.s3_key"), self.secret_text("chat.s3_secret"));
        let (endpoint, region) = (self.public_url("chat.s3_endpoint"), self.text("chat.s3_region"));
        let Some(place) = text.strip_prefix("s3://") else {
            if text.is_empty() {
                self.wrong("chat.files", "the folder has no name", r#"write for example "chat-files""#);
            }
            return FilesPlace::Folder(Path::new(&self.text("data")).join(text));
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            self.wrong("chat.files", "it names no bucket", r#"write for example "s3://bucket/prefix""#);
        }
        if access_key.is_some() != secret_key.is_some() {
            self.wrong("chat.s3_secret", "a key has a name (s3_key) and a secret (s3_secret)", "write both, or none");
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
        FilesPlace::S3 { bucket, prefix, endpoint, region, access_key, secret_key }
    }

    fn types(&mut self, key: &str) -> Vec<String> {
        let types: Vec<String> = self.list(key);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_' | '*');
        let is_type = |text: &String| {
            text.split_once('/')
                .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty() && (a.to_owned() + b).chars().all(plain))
        };
        if let Some(wrong) = types.iter().find(|text| !is_type(text)) {
            self.wrong(
                key,
                format!("{wrong:?} is not a type of files"),
                r#"write for example "image/png" or "audio/*""#,
            );
        }
        types
    }

    /// What the chat asks of `[auth]`.
    pub(super) fn check_chat(&mut self, config: &mut Config) {
        let (Some(chat), Some(auth)) = (&config.chat, &mut config.auth) else { return };
        auth.settings.cookie.get_or_insert_with(|| COOKIE.to_owned());
        let own = "the chat's users belong to no tenant";
        if auth.expect.tenant.is_some() {
            self.wrong("auth.tenant_claim", own, "leave it empty, or let another Rowcast serve the chat");
        }
        if auth.settings.tenant_host.is_some() {
            self.wrong("auth.tenant_host", own, "leave it empty, or let another Rowcast serve the chat");
        }
        if auth.expect.user != "sub" {
            self.wrong("auth.user_claim", "the chat's users are named by the claim `sub`", "write \"sub\"");
        }
        if auth.expect.life_max.is_some_and(|life| life < chat.token_ttl) {
            let fix = "make it as long at least, or chat.token_ttl shorter";
            self.wrong("auth.life_max", "this is shorter than chat.token_ttl: nobody could log in", fix);
        }
    }
}

/// Names that are the chat's own, where there is one: they are not captured.
pub(crate) fn private(config: &Config) -> Vec<String> {
    if config.chat.is_some() { rowcast_chat::Chat::private_tables() } else { Vec::new() }
}

#[cfg(test)]
mod tests {

    use super::super::super::tests::{config, layers};
    use super::*;

    #[test]
    fn a_chat_turns_identity_on() {
        assert!(config("").chat.is_none());
        let with = config("[chat]\nenabled = true\nmax_file = '1MiB'\npublic_url = 'https://chat.example.com/'\n");
        let (chat, auth) = (with.chat.expect("a chat"), with.auth.expect("identity"));
        assert_eq!((chat.max_file, chat.public_url.as_deref()), (1 << 20, Some("https://chat.example.com")));
        assert_eq!(chat.quota, 5 << 30);
        assert_eq!(auth.settings.cookie.as_deref(), Some(COOKIE));
        let named = config("[chat]\nenabled = true\n[auth]\ncookie = 'own'\n");
        assert_eq!(named.auth.expect("identity").settings.cookie.as_deref(), Some("own"));
    }

    #[test]
    fn files_are_in_the_data_folder_or_in_a_bucket() {
        let files =
            |text: &str| config(&format!("data = 'd'\n[chat]\nenabled = true\n{text}")).chat.expect("a chat").files;
        assert!(matches!(files(""), FilesPlace::Folder(path) if path.as_os_str() == "d/chat-files"));
        assert!(matches!(files("files = '/srv/files'"), FilesPlace::Folder(path) if path.as_os_str() == "/srv/files"));
        let s3 = files("files = 's3://bucket/a/b/'\ns3_endpoint = 'http://127.0.0.1:9000'");
        assert!(matches!(s3, FilesPlace::S3 { bucket, prefix, .. } if bucket == "bucket" && prefix == "a/b"));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let told = |text: &str| Config::read(&layers(text, &[], vec![])).expect_err(text).to_string();
        for (text, key, part) in [
            ("[auth]\ntenant_claim = 'org'", "auth.tenant_claim", "no tenant"),
            ("[auth]\nlife_max = '1h'", "auth.life_max", "chat.token_ttl"),
            ("[auth]\nuser_claim = 'email'", "auth.user_claim", "sub"),
            ("[chat.smtp]\nurl = 'mail.example.com'", "chat.smtp.url", "smtp"),
            ("[chat.smtp]\nurl = 'smtp://localhost'\nfrom = 'nobody'", "chat.smtp.url", "from"),
            ("[chat.smtp]\nurl = 'smtps://localhost'\nca = 'no-such-file.pem'", "chat.smtp.ca", "cannot be read"),
            ("[chat.smtp]\nurl = 'smtps://localhost'\nca = 'Cargo.toml'", "chat.smtp.ca", "no certificate"),
        ] {
            let told = told(&format!("[chat]\nenabled = true\n{text}"));
            assert!(told.contains(&format!("{key}: ")) && told.contains(part), "{text}: {told}");
        }
        for (text, key) in
            [("public_url = 'chat'", "public_url"), ("types = ['png']", "types"), ("files = 's3://'", "files")]
        {
            let told = told(&format!("[chat]\nenabled = true\n{text}"));
            assert!(told.contains(&format!("chat.{key}: ")), "{text}: {told}");
        }
    }
}
