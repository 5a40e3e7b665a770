//! Java's way of saying who one is and whom one trusts, in librdkafka's words.
//!
//! A JAAS line gives name and password; PEM and PKCS#12 stores are passed on; JKS can't be read here and is refused.

use weir_api::error::{Code, Error, Result};

/// What a `sasl.jaas.config` says, as librdkafka's properties.
pub fn of_jaas(table: &str, text: &str) -> Result<Vec<(&'static str, String)>> {
    // The text holds a password, so no part of it is shown.
    let refuse = |why: &str| {
        Err(Error::new(
            Code::TableOptions,
            format!(
                "table {table}: option 'properties.sasl.jaas.config' {why}; 'properties.sasl.username' and 'properties.sasl.password' say the same"
            ),
        ))
    };
    let module = text.split_whitespace().next().unwrap_or_default();
    let Some(entries) = entries(text) else {
        return refuse("isn't '<module> required name=\"value\" …;'");
    };
    let value = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if module.ends_with(".PlainLoginModule") || module.ends_with(".ScramLoginModule") {
        let (Some(username), Some(password)) = (value("username"), value("password")) else {
            return refuse("lacks username or password");
        };
        return Ok(vec![("sasl.username", username), ("sasl.password", password)]);
    }
    if module.ends_with(".OAuthBearerLoginModule") {
        let (Some(id), Some(secret)) = (value("clientId"), value("clientSecret")) else {
            return refuse("lacks clientId or clientSecret");
        };
        let mut all = vec![
            ("sasl.oauthbearer.method", "oidc".to_owned()),
            ("sasl.oauthbearer.client.id", id),
            ("sasl.oauthbearer.client.secret", secret),
        ];
        all.extend(value("scope").map(|scope| ("sasl.oauthbearer.scope", scope)));
        return Ok(all);
    }
    refuse("names a login module other than PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule")
}

/// The `name="value"` pairs of a JAAS line, quotes and escapes undone; none if it isn't one.
fn entries(text: &str) -> Option<Vec<(String, String)>> {
    let rest = text.trim().strip_suffix(';')?;
    let (_, rest) = rest.split_once(char::is_whitespace)?;
    let mut rest = rest.trim_start().strip_prefix("required")?.trim_start();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, remaining) = match after.chars().next()? {
            quote @ ('"' | '\'') => quoted(after, quote)?,
            _ => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after.get(..end)?.to_owned(), after.get(end..)?)
            }
        };
        entries.push((name.trim().to_owned(), value));
        rest = remaining.trim_start();
    }
    Some(entries)
}

/// The value between quotes at the start of `text`, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            other if other == quote => return Some((value, text.get(position + quote.len_utf8()..)?)),
            other => value.push(other),
        }
    }
    None
}

/// What `ssl.truststore.*` and `ssl.keystore.*` say, as librdkafka's properties.
pub fn of_stores<'a>(
    table: &str,
    property: impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<(&'static str, String)>> {
    let kind = |key| property(key).unwrap_or("JKS").to_ascii_uppercase();
    let mut all = Vec::new();
    if let Some(location) = property("ssl.truststore.location") {
        match kind("ssl.truststore.type").as_str() {
            "PEM" => all.push(("ssl.ca.location", location.to_owned())),
            other => {
                return Err(refuse_store(
                    table,
                    "truststore",
                    other,
                    "'properties.ssl.ca.location' takes a file of PEM certificates (keytool -exportcert -rfc writes one)",
                ));
            }
        }
    }
    if let Some(location) = property("ssl.keystore.location") {
        match kind("ssl.keystore.type").as_str() {
            "PEM" => {
                all.push(("ssl.certificate.location", location.to_owned()));
                all.push(("ssl.key.location", location.to_owned()));
            }
            "PKCS12" => {
                all.push(("ssl.keystore.location", location.to_owned()));
                all.extend(
                    property("ssl.keystore.password")
                        .map(|password| ("ssl.keystore.password", password.to_owned())),
                );
            }
            other => {
                return Err(refuse_store(
                    table,
                    "keystore",
                    other,
                    "convert it to PKCS12 (keytool -importkeystore -deststoretype PKCS12), or give 'properties.ssl.certificate.location' and 'properties.ssl.key.location' as PEM",
                ));
            }
        }
    }
    Ok(all)
}

fn refuse_store(table: &str, store: &str, kind: &str, instead: &str) -> Error {
    Error::new(
        Code::TableOptions,
        format!(
            "table {table}: option 'properties.ssl.{store}.location' names a {store} of type {kind}, which only Java reads; {instead}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jaas_line_gives_name_and_password() {
        let line = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="al\"ice" password='p w;=' ;"#;
        assert_eq!(
            of_jaas("t", line).unwrap(),
            [("sasl.username", "al\"ice".to_owned()), ("sasl.password", "p w;=".to_owned())]
        );
        let line =
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=bob password=x;";
        assert_eq!(
            of_jaas("t", line).unwrap(),
            [("sasl.username", "bob".to_owned()), ("sasl.password", "x".to_owned())]
        );
    }

    #[test]
    fn a_wrong_jaas_line_is_refused_without_showing_the_password() {
        for line in [
            "com.example.MyLoginModule required username=\"a\" password=\"hunter2\";",
            "org.apache.kafka.common.security.plain.PlainLoginModule required password=\"hunter2\";",
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"hunter2\"",
            "hunter2",
            "",
        ] {
            let error = of_jaas("t", line).unwrap_err();
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
            assert!(error.message().contains("sasl.jaas.config"));
        }
    }

    #[test]
    fn stores_are_passed_on_or_refused_by_type() {
        let stores = |pairs: &'static [(&str, &str)]| {
            of_stores("t", |key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
        };
        let error = stores(&[("ssl.truststore.location", "/t.jks")]).unwrap_err();
        assert!(error.message().contains("ssl.ca.location"), "{}", error.message());
        assert_eq!(
            stores(&[("ssl.truststore.location", "/ca.pem"), ("ssl.truststore.type", "PEM")]).unwrap(),
            [("ssl.ca.location", "/ca.pem".to_owned())]
        );
        let keystore = stores(&[
            ("ssl.keystore.location", "/k.p12"),
            ("ssl.keystore.type", "pkcs12"),
            ("ssl.keystore.password", "x"),
        ]);
        assert_eq!(
            keystore.unwrap(),
            [("ssl.keystore.location", "/k.p12".to_owned()), ("ssl.keystore.password", "x".to_owned())]
        );
    }
}
