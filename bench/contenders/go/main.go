// Go's database/sql with go-sql-driver: main SOCKET USER PASSWORD DATABASE answers the lines that
// bench/child.lua describes. It has no reset: what a borrower leaves behind, the next one finds.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

var (
	background = context.Background()
	pools      = map[string]*sql.DB{}
	held       *sql.Conn
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Port 0 is the socket. Without interpolateParams each statement with parameters is prepared first.
func newPool(port, size int) *sql.DB {
	place := "unix(" + os.Args[1] + ")"
	if port != 0 {
		place = fmt.Sprintf("tcp(127.0.0.1:%d)", port)
	}
	dsn := fmt.Sprintf("%s:%s@%s/%s?interpolateParams=true", os.Args[2], os.Args[3], place, os.Args[4])
	db := must(sql.Open("mysql", dsn))
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db
}

// One pool for each way to the server.
func poolOf(port, size int) *sql.DB {
	key := fmt.Sprint(port, " ", size)
	if pools[key] == nil {
		pools[key] = newPool(port, size)
	}
	return pools[key]
}

func openSessions(db *sql.DB, count int) {
	conns := make([]*sql.Conn, count)
	for i := range conns {
		conns[i] = must(db.Conn(background))
		var n int
		check(conns[i].QueryRowContext(background, "SELECT 1").Scan(&n))
	}
	for _, conn := range conns {
		check(conn.Close())
	}
}

// ---- time ----

type watch struct{ wall, cpu int64 }

func usedCPU() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

var begin = time.Now()

func (w *watch) start() {
	w.cpu -= usedCPU()
	w.wall -= int64(time.Since(begin))
}

func (w *watch) stop() {
	w.wall += int64(time.Since(begin))
	w.cpu += usedCPU()
}

// ---- tasks ----

type words []string

func (w words) number(i int) int { return must(strconv.Atoi(w[i])) }

type result struct {
	sum       int64
	latencies []int64
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func selectOne(db querier) int64 {
	var n int64
	check(db.QueryRowContext(background, "SELECT 1").Scan(&n))
	return n
}

type row struct {
	id    int
	name  string
	price float64
	made  string
}

func (r *row) sum() int64 { return int64(r.id) + int64(len(r.name)) + int64(r.price*4) }

const (
	all    = "SELECT id, name, price, made FROM bench_rows"
	point  = all + " WHERE id = ?"
	insert = "INSERT INTO bench_inserts VALUES "
)

func scanPoint(found *sql.Row) int64 {
	var r row
	check(found.Scan(&r.id, &r.name, &r.price, &r.made))
	return r.sum()
}

func selectPoint(db querier, i int) int64 {
	return scanPoint(db.QueryRowContext(background, point, i%10000+1))
}

func taskHeld(w *watch, count int, _ words) (r result) {
	w.start()
	for i := 0; i < count; i++ {
		r.sum += selectOne(held)
	}
	w.stop()
	return
}

// loan COUNT PORT SESSIONS PAUSE_US: the time between the loans does not count.
func taskLoan(w *watch, count int, args words) (r result) {
	pool := poolOf(args.number(0), args.number(1))
	pause := time.Duration(args.number(2)) * time.Microsecond
	openSessions(pool, args.number(1))
	w.start()
	for i := 0; i < count; i++ {
		r.sum += selectOne(pool)
		if pause > 0 {
			w.stop()
			time.Sleep(pause)
			w.start()
		}
	}
	w.stop()
	return
}

func taskBookkeeping(w *watch, count int, _ words) result {
	pool := poolOf(0, 1)
	openSessions(pool, 1)
	w.start()
	for i := 0; i < count; i++ {
		check(must(pool.Conn(background)).Close())
	}
	w.stop()
	return result{sum: int64(count)}
}

func taskPointText(w *watch, count int, _ words) (r result) {
	w.start()
	for i := 0; i < count; i++ {
		r.sum += selectPoint(held, i)
	}
	w.stop()
	return
}

func taskPointPrepared(w *watch, count int, _ words) (r result) {
	statement := must(held.PrepareContext(background, point))
	w.start()
	for i := 0; i < count; i++ {
		r.sum += scanPoint(statement.QueryRow(i%10000 + 1))
	}
	w.stop()
	check(statement.Close())
	return
}

// Into structs.
func taskRowsKept(w *watch, _ int, _ words) (r result) {
	var kept []row
	w.start()
	rows := must(held.QueryContext(background, all))
	for rows.Next() {
		var found row
		check(rows.Scan(&found.id, &found.name, &found.price, &found.made))
		kept = append(kept, found)
	}
	check(rows.Err())
	w.stop()
	for i := range kept {
		r.sum += kept[i].sum() + int64(must(strconv.Atoi(kept[i].made[14:16])))
	}
	return
}

// Into one struct again and again.
func taskRowsStreamed(w *watch, _ int, _ words) (r result) {
	var found row
	w.start()
	rows := must(held.QueryContext(background, all))
	for rows.Next() {
		check(rows.Scan(&found.id, &found.name, &found.price, &found.made))
		r.sum += int64(found.id) + int64(len(found.name))
	}
	check(rows.Err())
	w.stop()
	return
}

func inserted(i int) []any { return []any{i, fmt.Sprintf("name number %d", i), float64(i) * 1.25} }

func taskInsertOne(w *watch, count int, _ words) (r result) {
	w.start()
	tx := must(held.BeginTx(background, nil))
	for i := 1; i <= count; i++ {
		must(tx.Exec(insert+"(?, ?, ?)", inserted(i)...))
	}
	check(tx.Commit())
	w.stop()
	return
}

// Texts of 1000 rows each: it has no other way.
func taskInsertMany(w *watch, count int, _ words) (r result) {
	w.start()
	tx := must(held.BeginTx(background, nil))
	for first := 1; first <= count; first += 1000 {
		var values []any
		for i := first; i < first+1000; i++ {
			values = append(values, inserted(i)...)
		}
		must(tx.Exec(insert+"(?, ?, ?)"+strings.Repeat(", (?, ?, ?)", 999), values...))
	}
	check(tx.Commit())
	w.stop()
	return
}

// sessions COUNT: opens them, and keeps them idle.
func taskSessions(_ *watch, count int, _ words) result {
	if count > 0 {
		openSessions(poolOf(0, count), count)
	}
	debug.FreeOSMemory()
	return result{sum: int64(count)}
}

// ---- many goroutines that take turns on few sessions ----

type crowd struct {
	watch             *watch
	count, workers    int64
	begun, ended, sum int64
	latencies         []int64
	timed             bool
	use               func(pool *sql.DB, i int) int64
	pool              *sql.DB
}

func useNone(pool *sql.DB, _ int) int64 {
	conn := must(pool.Conn(background))
	runtime.Gosched()
	check(conn.Close())
	return 1
}

var uses = map[string]func(pool *sql.DB, i int) int64{
	"point": func(pool *sql.DB, i int) int64 { return selectPoint(pool, i) },
	"one":   func(pool *sql.DB, _ int) int64 { return selectOne(pool) },
	"none":  useNone,
}

// As bench/contenders/crowd.lua: time counts while as many requests wait as the title says.
func (c *crowd) note(from time.Time) {
	ended := atomic.AddInt64(&c.ended, 1)
	if ended == c.workers {
		c.watch.start()
	} else if ended == c.workers+c.count {
		c.watch.stop()
	}
	if c.timed && ended > c.workers && ended <= c.workers+c.count {
		c.latencies[ended-c.workers-1] = int64(time.Since(from))
	}
}

func (c *crowd) borrowAgain(done *sync.WaitGroup) {
	defer done.Done()
	for {
		i := atomic.AddInt64(&c.begun, 1) - 1
		if i >= c.count+2*c.workers {
			return
		}
		var from time.Time
		if c.timed {
			from = time.Now()
		}
		atomic.AddInt64(&c.sum, c.use(c.pool, int(i)))
		c.note(from)
	}
}

// crowd COUNT GOROUTINES TASK, on 8 sessions.
func taskCrowd(w *watch, count int, args words) result {
	c := crowd{watch: w, count: int64(count), workers: int64(args.number(0)), use: uses[args[1]], timed: args[1] != "none"}
	c.pool = poolOf(0, 8)
	openSessions(c.pool, 8)
	if c.timed {
		c.latencies = make([]int64, count)
	}
	var done sync.WaitGroup
	done.Add(int(c.workers))
	for i := int64(0); i < c.workers; i++ {
		go c.borrowAgain(&done)
	}
	done.Wait()
	return result{c.sum, c.latencies}
}

var tasks = map[string]func(w *watch, count int, args words) result{
	"held":           taskHeld,
	"loan":           taskLoan,
	"bookkeeping":    taskBookkeeping,
	"point_text":     taskPointText,
	"point_prepared": taskPointPrepared,
	"rows_kept":      taskRowsKept,
	"rows_streamed":  taskRowsStreamed,
	"insert_one":     taskInsertOne,
	"insert_many":    taskInsertMany,
	"sessions":       taskSessions,
	"crowd":          taskCrowd,
}

// ---- answers ----

func percentile(sorted []int64, share float64) int64 {
	at := int(share*float64(len(sorted))+0.9999999) - 1
	if at < 0 {
		at = 0
	}
	return sorted[at]
}

func perform(line string) (answer string) {
	defer func() {
		if failure := recover(); failure != nil {
			answer = fmt.Sprint("error ", failure)
		}
	}()
	asked := words(strings.Fields(line))
	var w watch
	runtime.GC()
	r := tasks[asked[0]](&w, asked.number(1), asked[2:])
	answer = fmt.Sprint(w.wall, " ", w.cpu, " ", r.sum)
	if len(r.latencies) > 0 {
		sort.Slice(r.latencies, func(a, b int) bool { return r.latencies[a] < r.latencies[b] })
		answer += fmt.Sprint(" ", percentile(r.latencies, 0.5), " ", percentile(r.latencies, 0.99), " ",
			percentile(r.latencies, 0.999))
	}
	return
}

func version() string {
	info, _ := os.ReadFile("/var/lib/dpkg/status")
	for _, entry := range strings.Split(string(info), "\n\n") {
		if strings.HasPrefix(entry, "Package: golang-github-go-sql-driver-mysql-dev\n") {
			_, rest, _ := strings.Cut(entry, "\nVersion: ")
			found, _, _ := strings.Cut(rest, "\n")
			return " " + found
		}
	}
	return ""
}

func main() {
	held = must(newPool(0, 1).Conn(background))
	fmt.Printf("ready go-sql-driver%s, %s\n", version(), runtime.Version())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "quit" {
		fmt.Println(perform(lines.Text()))
	}
}
