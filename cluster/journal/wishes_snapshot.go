package journal

import (
	"encoding/binary"
	"math"
)

// writeWishes writes nothing where no operator ever did anything.
func writeWishes(w *snapshotWriter, wishes *Wishes, acts []Act) {
	var b []byte
	if wishes.Version > 0 {
		b = binary.AppendUvarint(b, wishes.Version)
		for _, v := range [...]*Wanted{&wishes.Workers, &wishes.Level} {
			b = binary.AppendUvarint(b, v.Fence)
			b = binary.AppendUvarint(b, uint64(v.Base))
			b = appendWish(appendWish(b, &v.Now), &v.Pending)
		}
		w.record(kindWishes, b)
	}
	for i := range acts {
		a := &acts[i]
		b = b[:0]
		for _, v := range [...]uint64{a.Number, uint64(a.At), uint64(a.Node), uint64(a.From), uint64(a.To), uint64(a.Until)} {
			b = binary.AppendUvarint(b, v)
		}
		for _, text := range [...]string{a.Verb, a.Operator, a.Approver, a.Reason, a.Detail} {
			b = appendText(b, text)
		}
		w.record(kindAct, b)
	}
}

func appendWish(to []byte, w *Wish) []byte {
	for _, v := range [...]uint64{w.Number, uint64(w.Value), uint64(w.Until), uint64(w.At)} {
		to = binary.AppendUvarint(to, v)
	}
	return appendText(appendText(appendText(to, w.Reason), w.Operator), w.Approver)
}

func (t *tables) readWishes(p *parser) bool {
	w := &Wishes{Version: p.uint()}
	once := t.wishes.Version == 0 && w.Version > 0
	ok := true
	for _, v := range [...]*Wanted{&w.Workers, &w.Level} {
		v.Fence, v.Base = p.uint(), uint32(p.atMost(math.MaxUint32))
		readWish(p, &v.Now)
		readWish(p, &v.Pending)
		ok = ok && v.Now.Number <= v.Fence && v.Pending.Number <= v.Fence
	}
	t.wishes = w
	return once && ok
}

func readWish(p *parser, w *Wish) {
	w.Number, w.Value = p.uint(), uint32(p.atMost(math.MaxUint32))
	w.Until, w.At = p.millis(), p.millis()
	w.Reason, w.Operator, w.Approver = string(p.text(snapshotRecord)), string(p.text(snapshotRecord)), string(p.text(snapshotRecord))
}

func (t *tables) readAct(p *parser) bool {
	var a Act
	a.Number, a.At = p.uint(), p.millis()
	a.Node, a.From, a.To = NodeID(p.atMost(math.MaxUint32)), uint32(p.atMost(math.MaxUint32)), uint32(p.atMost(math.MaxUint32))
	a.Until = p.millis()
	for _, text := range [...]*string{&a.Verb, &a.Operator, &a.Approver, &a.Reason, &a.Detail} {
		*text = string(p.text(snapshotRecord))
	}
	if n := len(t.acts); a.Number == 0 || n > 0 && t.acts[n-1].Number+1 != a.Number {
		return false
	}
	t.acts = append(t.acts, a)
	return true
}
