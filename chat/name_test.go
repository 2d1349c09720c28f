//go:build linux

package chat

import (
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for _, name := range []string{
		"a", "alice@example.com", "auth0|123", "José", "Jose\u0301", "李", "servers", "observer", "server1", "server-room", "auth0:server", "urn:alice", strings.Repeat("ü", 64),
		"علی\u200cرضا", "می\u200cخواهم", "क्\u200dष", "க்\u200cஷ", "سَ\u200cمن",
		"👩🏽\u200d💻", "❤\ufe0f\u200d🔥", "👁\ufe0f\u200d🗨\ufe0f", "🏳\ufe0f\u200d🌈", "1\ufe0f\u20e3", "葛\U000e0100", "नमस्ते", "ngữ",
	} {
		if !ValidName(name) {
			t.Errorf("ValidName(%+q): got false, want true", name)
		}
	}
	for _, name := range []string{
		strings.Repeat("ü", 65), "a b", "a\tb", "a\n", "\x7f", "a\u00a0b", "a\u202eb", "a\u200bb", "a\ufeff",
		"\xff", "a\u2028b", "\ue000", "a\u2067b\u2069", "a\u200e", "\u0301a",
		"a\u3164", "a\u2800b", "a\u034fb", "a\u00adb", "a\ufe0f", "a\u115f", "a\U000e0041", "a\ufffc", "a\u17b4",
		"al\u200dice", "al\u200cice", "а\u200dб", "علی\u200c", "\u200cعلی", "علی\u200c\u200cرضا", "👩\u200d", "👩\u200da", "علی\u200da",
		"z" + strings.Repeat("\u0301", 5),
		"a\U000E0067\U000E007F", "\U000E007F", "🏴\U000E0067", "🏴\U000E0067\U000E007F\U000E0067\U000E007F", "🏴a\U000E0067\U000E007F", "🏴\U000E0067a\U000E007F", "!\ufe0f",
	} {
		if ValidName(name) {
			t.Errorf("ValidName(%+q): got true, want false", name)
		}
	}
	for what, name := range unseen {
		if ValidName(name) {
			t.Errorf("ValidName of %s, %+q: got true, want false", what, name)
		}
	}
}

// TestServersName: nobody else has a name that reads as the server's.
func TestServersName(t *testing.T) {
	for _, name := range []string{
		"Server", "server", "SERVER", "sErVeR", "Server:", "-Server-", "_Server_", "Server.", "S.e.r.v.e.r", ":Server",
		"Server:alice", "Server：alice", "Ѕerver꞉alice-has-left",
		"Ｓｅｒｖｅｒ", "𝐒𝐞𝐫𝐯𝐞𝐫", "𝓢𝓮𝓻𝓿𝓮𝓻", "Ⓢⓔⓡⓥⓔⓡ", "🅂🄴🅁🅅🄴🅁", "🅢🅔🅡🅥🅔🅡", "🆂🅴🆁🆅🅴🆁", "🇸🇪🇷🇻🇪🇷", "ₛerver", "ſerver", "ꜱᴇʀᴠᴇʀ", "Seʀver",
		"Ѕerver", "Sеrver", "Sеrvеr", "Serνer", "SΕRVER", "Ѕегѵег", "ᏚᎬᎡᏙᎬᎡ", "ꓢꓰꓣꓦꓰꓣ", "Տerver", "Se\u0301rver", "Sérver",
	} {
		if ValidName(name) {
			t.Errorf("ValidName(%q): got true, want false", name)
		}
	}
}

// TestLooks: names that pass for each other look alike, and others do not.
func TestLooks(t *testing.T) {
	for _, alike := range [][]string{
		{"alice", "Alice", "ALICE", "ａｌｉｃｅ", "𝖆𝖑𝖎𝖈𝖊", "аlice", "аӏісе", "ᴀʟɪᴄᴇ", "alıce", "aliϲe", "aliϹe", "alice\u200b", "al\u00adice", "a\u034flice", "ali\ufe0fce", "\u3164alice"},
		{"José", "Jose\u0301", "JOSÉ", "josе\u0301"},
		{"Straße", "STRASSE", "straſſe"},
		{"علی\u200cرضا", "علیرضا"},
		{"👩\u200d💻", "👩💻"}, {"❤\ufe0f", "❤"},
		{"Νίκος", "νίκος", "ΝΊΚΟΣ"}, {"Вова", "вова", "ВОВА"}, {"ﬁona", "fiona"}, {"Å", "\u212b", "A\u030a"},
	} {
		for _, name := range alike[1:] {
			if got, want := looksOf(name), looksOf(alike[0]); got != want {
				t.Errorf("%+q looks like %+q, %+q like %+q: want the same", name, got, alike[0], want)
			}
		}
	}
	names := make(map[string]string)
	for _, name := range []string{"alice", "alicе1", "bob", "Jose", "José", "李", "理", "user1", "userl", "user10", "userl0", "Вася", "Бася", "علی", "👩💻", "👨💻"} {
		if other, there := names[looksOf(name)]; there {
			t.Errorf("%q looks like %q", name, other)
		}
		names[looksOf(name)] = name
	}
}
