package edge

import (
	"math/bits"

	"github.com/valyala/fasthttp"
)

// referenceAlphabet is Crockford's base 32: no letter that is taken for a digit when read over the phone.
const referenceAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Reference is the request's short name, such as "7KQ2M-X9R4T": the same for every call during one request, and what
// stands on the page, in the problem document and in the log line. It is made of 50 bits of a hash of the connection's time and number
// and the request's number, so it costs nothing until somebody asks. It is not a secret, and identifies nobody.
func Reference(ctx *fasthttp.RequestCtx) string {
	var b [11]byte
	h := mix(uint64(ctx.ConnTime().UnixNano()) ^ bits.RotateLeft64(mix(ctx.ID()), 17))
	for i := range b {
		if i == 5 {
			b[i] = '-'
			continue
		}
		b[i] = referenceAlphabet[h&31]
		h >>= 5
	}
	return string(b[:])
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
