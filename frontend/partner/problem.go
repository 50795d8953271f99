package partner

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/cluster/gate"
	"netbank/frontend/edge"
)

// problemKind is one kind of refusal. The code is a message code of the Berlin Group's implementation guidelines 1.3
// where they have one; docs/partner-api.md marks our own.
type problemKind struct {
	status int
	typ    string // RFC 9457; about:blank when the status says it all
	title  string
	code   string
	detail string // when the place of the problem has nothing better to say
}

// The types that draft-ietf-httpapi-ratelimit-headers registers.
const (
	typeBlank    = "about:blank"
	typeQuota    = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	typeCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
)

// The problems. They are never changed.
var (
	problemFormat      = &problemKind{400, typeBlank, "Bad Request", "FORMAT_ERROR", "the request could not be read"}
	problemParameter   = &problemKind{400, typeBlank, "Bad Request", "PARAMETER_NOT_SUPPORTED", "a parameter is not supported"}
	problemNoCert      = &problemKind{401, typeBlank, "Unauthorized", "CERTIFICATE_MISSING", "this path needs a client certificate that is registered with the bank; none was shown"}
	problemBadCert     = &problemKind{401, typeBlank, "Unauthorized", "CERTIFICATE_INVALID", "the client certificate is not registered with the bank, or has been withdrawn"}
	problemNoSuchPath  = &problemKind{404, typeBlank, "Not Found", "RESOURCE_UNKNOWN", "there is nothing at this path"}
	problemUnknown     = &problemKind{404, typeBlank, "Not Found", "RESOURCE_UNKNOWN", "this partner has no such payment; finished payments are kept for 96 hours"}
	problemMethod      = &problemKind{405, typeBlank, "Method Not Allowed", "SERVICE_INVALID", "this path does not take this method; see Allow"}
	problemTimeout     = &problemKind{408, typeBlank, "Request Timeout", "FORMAT_ERROR", "the request did not arrive in time; it was not acted upon"}
	problemState       = &problemKind{409, typeBlank, "Conflict", "STATUS_INVALID", "the payment's status does not allow this"}
	problemUnderWay    = &problemKind{409, typeBlank, "Conflict", "IDEMPOTENCY_CONFLICT", "the first call with this idempotency key is still under way; repeat it later"}
	problemTooLarge    = &problemKind{413, typeBlank, "Content Too Large", "FORMAT_ERROR", "the body is larger than 16 KiB"}
	problemMediaType   = &problemKind{415, typeBlank, "Unsupported Media Type", "FORMAT_ERROR", "send the body as application/json"}
	problemKeyReused   = &problemKind{422, typeBlank, "Unprocessable Content", "IDEMPOTENCY_CONFLICT", "this idempotency key was used for another request; use a new key for a new payment"}
	problemQuota       = &problemKind{429, typeQuota, "Quota Exceeded", "ACCESS_EXCEEDED", "the partner's quota is used up; nothing was done or charged for this call"}
	problemOpenPayment = &problemKind{429, typeQuota, "Quota Exceeded", "ACCESS_EXCEEDED", "too many payments are open; nothing was done or charged for this call"}
	problemHeader      = &problemKind{431, typeBlank, "Request Header Fields Too Large", "FORMAT_ERROR", "the request line and header are larger than 8 KiB"}
	problemInternal    = &problemKind{500, typeBlank, "Internal Server Error", "INTERNAL_SERVER_ERROR", "something went wrong at the bank; ask for the payment's status, and tell the bank the reference"}
	problemCapacity    = &problemKind{503, typeCapacity, "Temporary Reduced Capacity", "SERVICE_UNAVAILABLE", "the bank cannot take this now; nothing was done or charged for this call"}
)

const headerRequestID = "X-Request-ID"

// problem answers with a problem document and its default detail.
func (a *API) problem(ctx *fasthttp.RequestCtx, kind *problemKind) {
	a.problemDetail(ctx, kind, kind.detail)
}

// problemDetail answers with a problem document. The detail may hold what the request held: it is escaped.
func (a *API) problemDetail(ctx *fasthttp.RequestCtx, kind *problemKind, detail string) {
	id := ctx.Response.Header.Peek(headerRequestID)
	if len(id) == 0 {
		id = setRequestID(ctx)
	}
	b := make([]byte, 0, 512)
	b = append(b, `{"type":"`...)
	b = append(b, kind.typ...)
	b = append(b, `","title":"`...)
	b = append(b, kind.title...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(kind.status), 10)
	b = append(b, `,"code":"`...)
	b = append(b, kind.code...)
	b = append(b, `","detail":`...)
	b = appendJSON(b, detail)
	b = append(b, `,"requestId":"`...)
	b = append(b, id...)
	b = append(b, `","reference":"`...)
	b = append(b, edge.Reference(ctx)...)
	b = append(b, `"}`...)
	ctx.Response.SetBodyRaw(b)
	ctx.SetContentType("application/problem+json")
	ctx.SetStatusCode(kind.status)
}

// hardening is the headers that every answer bears, in the form in which they are written.
type hardening [6]struct{ name, value []byte }

// newHardening follows the OWASP REST Security Cheat Sheet. Programs read the answers; whoever brings a browser to show one gets text.
func newHardening() (all hardening) {
	for i, header := range [len(all)][2]string{
		{fasthttp.HeaderCacheControl, "no-store"},
		{fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'"},
		{fasthttp.HeaderStrictTransportSecurity, "max-age=31536000"},
		{fasthttp.HeaderXContentTypeOptions, "nosniff"},
		{fasthttp.HeaderXFrameOptions, "DENY"},
		{fasthttp.HeaderReferrerPolicy, "no-referrer"},
	} {
		all[i].name, all[i].value = []byte(header[0]), []byte(header[1])
	}
	return all
}

// set is called once for each answer, by whoever is the first to know that there will be one: withRequestID, or fail.
func (all *hardening) set(ctx *fasthttp.RequestCtx) {
	for i := range all {
		ctx.Response.Header.SetCanonical(all[i].name, all[i].value)
	}
}

// Names of RateLimit fields.
const (
	headerRateLimit       = "RateLimit"
	headerRateLimitPolicy = "RateLimit-Policy"
)

// refuse answers 429 or 503. It must be called only where it is certain that nothing was and will be done for this call.
// The policy is a RateLimit-Policy item; its name stands in quotes at its start.
func (a *API) refuse(ctx *fasthttp.RequestCtx, kind *problemKind, policy, name string, wait time.Duration) {
	a.problem(ctx, kind)
	seconds := retrySeconds(wait)
	header := &ctx.Response.Header
	header.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(seconds, 10))
	header.Set(headerRateLimitPolicy, policy)
	header.Set(headerRateLimit, `"`+name+`";r=0;t=`+strconv.FormatInt(seconds, 10))
}

// capacity refuses because the bank, not the partner, is at its limit. Retries are spread.
func (a *API) capacity(ctx *fasthttp.RequestCtx, wait time.Duration) {
	policy := `"capacity";q=` + strconv.Itoa(a.limits.CreatesInFlight) + `;qu="concurrent-requests"`
	if now, refused := a.bank.Refused(gate.Confirm); refused && now.Reason == gate.NoLeader {
		wait = max(wait, now.RetryAfter) // how long there has been none
	}
	a.refuse(ctx, problemCapacity, policy, "capacity", edge.Spread(wait))
}

// capacityWait is the least Retry-After of a 503.
const capacityWait = 2 * time.Second

// fail answers what did not reach a handler: it is an edge.Fail.
func (a *API) fail(ctx *fasthttp.RequestCtx, status int) {
	a.hardening.set(ctx)
	if status != fasthttp.StatusInternalServerError {
		a.requests.Unrouted(status)
	}
	switch status {
	case fasthttp.StatusRequestEntityTooLarge:
		a.problem(ctx, problemTooLarge)
	case fasthttp.StatusRequestHeaderFieldsTooLarge:
		a.problem(ctx, problemHeader)
	case fasthttp.StatusRequestTimeout:
		a.problem(ctx, problemTimeout)
	case fasthttp.StatusServiceUnavailable:
		a.capacity(ctx, capacityWait)
	case fasthttp.StatusInternalServerError:
		a.problem(ctx, problemInternal)
	default:
		a.problem(ctx, problemFormat)
	}
}

// withRequestID echoes X-Request-ID, or gives one. What is not a UUID goes no further.
func (a *API) withRequestID(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		a.hardening.set(ctx)
		given := ctx.Request.Header.PeekAll(headerRequestID)
		if len(given) > 1 || len(given) == 1 && !isUUID(given[0]) {
			a.problemDetail(ctx, problemFormat, headerRequestID+": must be one UUID of 36 characters, or be left out")
			return
		}
		setRequestID(ctx)
		next(ctx)
	}
}

// setRequestID sets the response's X-Request-ID to the request's if that is a UUID, else to a new one, and returns it.
func setRequestID(ctx *fasthttp.RequestCtx) []byte {
	id := ctx.Request.Header.Peek(headerRequestID)
	if isUUID(id) {
		ctx.Response.Header.SetBytesV(headerRequestID, id)
		return ctx.Response.Header.Peek(headerRequestID)
	}
	// Version 4. It names a request, and guards nothing.
	const hex = "0123456789abcdef"
	var b [36]byte
	bits := [2]uint64{rand.Uint64(), rand.Uint64()}
	bits[0] = bits[0]&^0xf000 | 0x4000
	bits[1] = bits[1]&^(3<<62) | 2<<62
	n := 0
	for i := range b {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			b[i] = '-'
			continue
		}
		b[i] = hex[bits[n/16]>>(60-4*(n%16))&15]
		n++
	}
	ctx.Response.Header.SetBytesV(headerRequestID, b[:])
	return ctx.Response.Header.Peek(headerRequestID)
}

func isUUID(text []byte) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range text {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
