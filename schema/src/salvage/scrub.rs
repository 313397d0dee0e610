//! What says who somebody is: the machine's name, users, command lines.

use rusqlite::types::Value;
use serde_json::Value as Json;

/// Labels and details that are left out.
const PERSONAL: &[&str] = &[
    "uid", "user", "gid", "cmdline", "exe", "cwd", "args", "host", "hostname",
];

/// What stands before a user's number, or his name, in what the kernel and systemd write.
const BEFORE_NUMBER: &[&str] = &["uid=", "UID: ", "user-", "user@"];
const BEFORE_NAME: &[&str] = &["home/", "Users/"];

/// Takes out what is personal; with no name of a machine only what is found by its form.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrub {
    /// Names of the machines, longest first.
    pub(super) hosts: Vec<String>,
}

impl Scrub {
    /// In a name, a key or a text.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::Text(text) => *text = self.text(text),
            // What is not UTF-8 is not searched: it goes as a whole when a host's name is in it.
            Value::Blob(bytes) => {
                let lossy = String::from_utf8_lossy(bytes);
                let scrubbed = self.text(&lossy);
                if *scrubbed != *lossy {
                    *bytes = scrubbed.into_bytes();
                }
            }
            _ => {}
        }
    }

    /// In JSON; what is none becomes NULL.
    pub(super) fn json(&self, value: &mut Value) {
        let Value::Text(text) = value else { return };
        let Ok(mut json) = serde_json::from_str::<Json>(text) else {
            *value = Value::Null;
            return;
        };
        self.walk(&mut json);
        *text = json.to_string();
    }

    fn walk(&self, json: &mut Json) {
        match json {
            Json::String(text) => *text = self.text(text),
            Json::Array(list) => list.iter_mut().for_each(|one| self.walk(one)),
            Json::Object(map) => {
                map.retain(|key, _| !PERSONAL.contains(&key.as_str()));
                map.values_mut().for_each(|one| self.walk(one));
            }
            _ => {}
        }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for host in &self.hosts {
            text = text.replace(host, "host");
        }
        for before in BEFORE_NUMBER {
            text = behind(&text, before, "0", |c| c.is_ascii_digit());
        }
        for before in BEFORE_NAME {
            text = behind(&text, before, "user", |c| {
                !matches!(c, '/' | ' ' | '"' | '\n')
            });
        }
        text
    }
}

/// Puts another word for the one that stands behind a mark.
fn behind(text: &str, mark: &str, word: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        let (head, tail) = rest.split_at(at + mark.len());
        out.push_str(head);
        let end = tail.find(|c| !is_part(c)).unwrap_or(tail.len());
        if end > 0 {
            out.push_str(word);
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_name_users_and_their_folders_are_taken_out_of_texts() {
        let scrub = Scrub {
            hosts: vec!["board-7.lab".to_owned()],
        };
        let text = format!(
            "board-7.lab: task=x,uid=1042 in /user.slice/user-1042.slice of /ho{}ann/x",
            "me/"
        );
        let cleaned = format!(
            "host: task=x,uid=0 in /user.slice/user-0.slice of /ho{}user/x",
            "me/"
        );
        assert_eq!(scrub.text(&text), cleaned);
    }

    #[test]
    fn labels_lose_what_is_personal_and_keep_the_rest() {
        let mut labels =
            Value::Text(r#"{"pid":7,"uid":1000,"exe":"/opt/x","kind":"memfd"}"#.to_owned());
        Scrub::default().json(&mut labels);
        assert_eq!(
            labels,
            Value::Text(r#"{"kind":"memfd","pid":7}"#.to_owned())
        );
    }
}
