//go:build linux

package chat

// lookalikes are the letters that look like a Latin one, in upper or lower case, after
// folding. They are from the data of UTS #39 (confusables.txt 13.0, those that stand for one
// ASCII letter): the scripts whose letters can make up a whole Latin word, and the small
// capitals. Digits and what looks alike within Latin (l and I, rn and m) are left out:
// people have such names.
var lookalikes = map[rune]string{
	'a': "ɑαаᎪᗅᴀꓮ",
	'b': "ƅʙβвьᏏᏴᑲᖯᗷꓐꞵ",
	'c': "сᏟᴄⲥꓚꮯ",
	'd': "ԁᎠᏧᑯᗞᗪᴅꓒꓓ",
	'e': "εеҽᎬᴇⴹꓰꬲ",
	'f': "ϝքᖴẝꓝꜰꞙꬵ",
	'g': "ƍɡɢԍցᏀᏳᶃꓖ",
	'h': "ʜηнһհᎻᏂᕼⲏꓧ",
	'i': "ıɩɪιіᎥꙇꭵ",
	'j': "ʝϳјᎫᒍᴊꓙ",
	'k': "κкᏦᴋⲕꓗ",
	'l': "ǀʟӏᏞᒪⲓⳑⵏꓡꓲ",
	'm': "μϻмᎷᗰᴍⲙꓟ",
	'n': "ɴոռⲛꓠ",
	'o': "οσоօჿᴏᴑⲟⵔꓳꬽ",
	'p': "ρрᏢᑭᴘⲣꓑ",
	'q': "ԛգզⵕ",
	'r': "ʀгᎡᏒᖇᴦⲅꓣꭇꭈꮁ",
	's': "ƽѕտᏕᏚꓢꜱꮪ",
	't': "τтᎢᴛⲧꓔ",
	'u': "ʋυսᑌᴜꓴꞟꭎꭒ",
	'v': "νѵᏙᐯᴠⴸꓦꮩ",
	'w': "ɯѡԝաᎳᏔᴡꓪꮃ",
	'x': "χхᕁᕽⲭⵝꓫꭓ",
	'y': "ɣʏγуүყᎩᎽᶌỿⲩꓬꭚ",
	'z': "ζᏃᴢꓜꮓ",
}

// latinOf maps each of the lookalikes to its Latin letter.
var latinOf = func() map[rune]rune {
	m := make(map[rune]rune)
	for latin, all := range lookalikes {
		for _, r := range all {
			m[r] = latin
		}
	}
	return m
}()

// latin returns the Latin letter that r looks like, or r. White letters in black circles and
// squares, and those of flags, have no decomposition in Unicode.
func latin(r rune) rune {
	for _, first := range [...]rune{'\U0001F150', '\U0001F170', '\U0001F1E6'} {
		if first <= r && r < first+26 {
			return 'a' + r - first
		}
	}
	if l, ok := latinOf[r]; ok {
		return l
	}
	return r
}
