package partner

import (
	"fmt"
	"strings"
)

// accountMax is the longest account identification, in characters: Max34Text of ISO 20022, and the longest IBAN.
const accountMax = 34

// readIBAN gives an IBAN (ISO 13616) in its electronic form: capitals, no spaces. It checks the shape and the two check digits, not the length that each
// country has laid down: the core knows its accounts.
func readIBAN(text string) (string, error) {
	iban := strings.ToUpper(strings.ReplaceAll(text, " ", ""))
	if len(iban) < 15 || len(iban) > accountMax {
		return "", fmt.Errorf("an IBAN has 15 to %d characters, this one %d", accountMax, len(iban))
	}
	for i := 0; i < len(iban); i++ {
		c := iban[i]
		letter, digit := c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
		if (i < 2 && !letter) || (i >= 2 && i < 4 && !digit) || (!letter && !digit) {
			return "", fmt.Errorf("an IBAN is two letters, two check digits, and letters or digits")
		}
	}
	if ibanRemainder(iban) != 1 {
		return "", fmt.Errorf("the IBAN's check digits are wrong")
	}
	return iban, nil
}

// ibanRemainder is ISO 7064 MOD 97-10 over the IBAN with its first four characters moved to the end, letters read as 10 to 35.
func ibanRemainder(iban string) int {
	rest := 0
	for i := range len(iban) {
		c := iban[(i+4)%len(iban)]
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest
}

func isIBAN(account string) bool {
	iban, err := readIBAN(account)
	return err == nil && iban == account
}

// readOther takes any other account identification: letters, digits and hyphens.
func readOther(text string) (string, error) {
	if len(text) == 0 || len(text) > accountMax {
		return "", fmt.Errorf("an account identification has 1 to %d characters, this one %d", accountMax, len(text))
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", fmt.Errorf("an account identification holds letters, digits and hyphens only")
		}
	}
	return text, nil
}
