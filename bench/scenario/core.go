package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// peak is what the simulated core says that it can do at best, at the speed in force.
type peak struct {
	Unlimited       bool    `json:"unlimited"`
	Knee            int     `json:"knee"` // calls inside at the peak
	DebitsPerSecond float64 `json:"debitsPerSecond"`
}

// peak asks the core's admin port.
func (t *Target) peak(ctx context.Context) (p peak, err error) {
	return p, t.admin(ctx, http.MethodGet, "/peak", nil, &p)
}

// coreSpeed makes the core as many times as fast as its model says.
func (t *Target) coreSpeed(ctx context.Context, speed float64) error {
	return t.coreWeather(ctx, speed, 0)
}

// coreWeather makes the core as many times as fast as its model says, and the way of its answers longer.
func (t *Target) coreWeather(ctx context.Context, speed float64, latency time.Duration) error {
	return t.admin(ctx, http.MethodPut, "/faults", map[string]float64{"capacity": speed, "extraLatencyMillis": float64(latency) / 1e6}, nil)
}

// answerMax bounds what is read of an answer of the admin port.
const answerMax = 1 << 20

func (t *Target) admin(ctx context.Context, method, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("scenario: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, t.Demo.Core.Admin+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("scenario: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("scenario: the core's admin port: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("scenario: the core's admin port: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("scenario: the core's admin port answered %d to %s %s: %s", resp.StatusCode, method, path, answer)
	}
	if into == nil {
		return nil
	}
	return errors.Join(json.Unmarshal(answer, into))
}
