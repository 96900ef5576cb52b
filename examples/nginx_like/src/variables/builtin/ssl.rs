//! Variables of nginx's stream ssl module. As in nginx without `listen … ssl`, which is an error here, none has a value.

use super::Builtin;
use super::Source::Absent;

pub(super) const VARIABLES: &[Builtin] = &[
    without_value("ssl_alpn_protocol"),
    without_value("ssl_cipher"),
    without_value("ssl_ciphers"),
    without_value("ssl_client_cert"),
    without_value("ssl_client_escaped_cert"),
    without_value("ssl_client_fingerprint"),
    without_value("ssl_client_i_dn"),
    without_value("ssl_client_raw_cert"),
    without_value("ssl_client_s_dn"),
    without_value("ssl_client_serial"),
    without_value("ssl_client_sigalg"),
    without_value("ssl_client_v_end"),
    without_value("ssl_client_v_remain"),
    without_value("ssl_client_v_start"),
    without_value("ssl_client_verify"),
    without_value("ssl_curve"),
    without_value("ssl_curves"),
    without_value("ssl_ech_outer_server_name"),
    without_value("ssl_ech_status"),
    without_value("ssl_protocol"),
    without_value("ssl_server_name"),
    without_value("ssl_session_id"),
    without_value("ssl_session_reused"),
    without_value("ssl_sigalg"),
];

const fn without_value(name: &'static str) -> Builtin {
    Builtin::new(name, Absent, |_, _| None)
}
