package session

// CheckPHC reports why a PHC string cannot be imported: it is not one, or weaker than Standard and cheap hashes are not allowed.
func CheckPHC(phc string, cheap bool) error {
	hash, err := ParseHash(phc)
	if err != nil {
		return err
	}
	return hash.check(cheap)
}
