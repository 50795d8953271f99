package lab

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"

	"netbank/bench/demo"
	"netbank/frontend/ops"
)

// Password of every demo customer. One password and one hash for all keeps seeding 200,000 of them short.
const Password = "lotus-river-42"

// CustomersMax is how many demo customers can be seeded.
const CustomersMax = 1_000_000

// balanceMinor is what every demo account holds at first: 100,000.00.
const balanceMinor = 10_000_000

// Person is a demo customer.
type Person struct {
	demo.Identity
	Customer ops.Customer
}

// person makes the demo customer of a number from 1: always the same for the same number, so that a restart needs no list.
func person(number int, passwordHash string) Person {
	names := [...][3]string{{"wang", "王小雨", "清风明月，平安喜乐"}, {"smith", "Alex Smith", "The lighthouse keeper waves at noon"}}
	username, name, message, locale := fmt.Sprintf("customer%06d", number), fmt.Sprintf("客户 %d", number), fmt.Sprintf("预留信息 %d", number), "zh-CN"
	if number <= len(names) {
		username, name, message = names[number-1][0], names[number-1][1], names[number-1][2]
	}
	if number == 2 {
		locale = "en"
	}
	seed := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(demoSeed(number))
	p := Person{Identity: demo.Identity{Username: username, Password: Password, TOTP: seed, Phone: fmt.Sprintf("+861380%07d", number)}}
	p.Customer = ops.Customer{
		ID: uint64(number), Username: username, PasswordHash: passwordHash, TOTP: seed, Phone: p.Phone, Name: name, ReservedMessage: message, Locale: locale, Tier: 1,
	}
	accounts := []ops.Account{{Number: fmt.Sprintf("6222%015d", number), Currency: "CNY", Label: "储蓄账户"}}
	if number <= len(names) {
		accounts = append(accounts, ops.Account{Number: fmt.Sprintf("6226%015d", number+7000), Currency: "CNY", Label: "工资账户"})
	}
	if number == 2 {
		accounts[0].Label, accounts[1].Label = "Savings", "Salary"
	}
	p.Customer.Accounts = accounts
	for _, a := range accounts {
		p.Accounts = append(p.Accounts, a.Number)
	}
	return p
}

// demoSeed is a TOTP seed of 20 bytes. It is no secret: it stands in demo.json.
func demoSeed(number int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("netbank demo customer "), uint64(number)))
	return sum[:20]
}
