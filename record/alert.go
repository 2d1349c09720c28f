package record

import "strconv"

// Alert is the description of an alert (RFC 8446 §6, RFC 5246 §7.2).
type Alert uint8

// The alerts that this package sends, or knows what to do with.
const (
	CloseNotify       Alert = 0
	UnexpectedMessage Alert = 10
	BadRecordMAC      Alert = 20
	RecordOverflow    Alert = 22
	IllegalParameter  Alert = 47
	DecodeError       Alert = 50
	ProtocolVersion   Alert = 70
	InternalError     Alert = 80
	UserCanceled      Alert = 90
	NoRenegotiation   Alert = 100
	NoAlert           Alert = 255 // in an Error: there is nothing to send
)

// alertNames holds the registry's wording, of the alerts that peers send, too.
var alertNames = map[Alert]string{
	CloseNotify:       "close_notify",
	UnexpectedMessage: "unexpected_message",
	BadRecordMAC:      "bad_record_mac",
	21:                "decryption_failed",
	RecordOverflow:    "record_overflow",
	30:                "decompression_failure",
	40:                "handshake_failure",
	42:                "bad_certificate",
	43:                "unsupported_certificate",
	44:                "certificate_revoked",
	45:                "certificate_expired",
	46:                "certificate_unknown",
	IllegalParameter:  "illegal_parameter",
	48:                "unknown_ca",
	49:                "access_denied",
	DecodeError:       "decode_error",
	51:                "decrypt_error",
	ProtocolVersion:   "protocol_version",
	71:                "insufficient_security",
	InternalError:     "internal_error",
	86:                "inappropriate_fallback",
	UserCanceled:      "user_canceled",
	NoRenegotiation:   "no_renegotiation",
	109:               "missing_extension",
	110:               "unsupported_extension",
	112:               "unrecognized_name",
	113:               "bad_certificate_status_response",
	115:               "unknown_psk_identity",
	116:               "certificate_required",
	120:               "no_application_protocol",
	121:               "ech_required",
	NoAlert:           "none",
}

// String returns the registered name, or the number where there is none.
func (a Alert) String() string {
	if name, ok := alertNames[a]; ok {
		return name
	}
	return "alert " + strconv.Itoa(int(a))
}

// Levels of alerts. TLS 1.3 has them on the wire and ignores them (RFC 8446 §6).
const (
	warning = 1
	fatal   = 2
)

// level returns what goes before the description: of what we send, these three are never
// fatal (RFC 8446 §6.1, RFC 5246 §7.2.2).
func (a Alert) level() byte {
	switch a {
	case CloseNotify, UserCanceled, NoRenegotiation:
		return warning
	default:
		return fatal
	}
}
