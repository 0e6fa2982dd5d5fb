// Gradients derived and written by hand, in plain scalar loops, as one would write them for speed in C++.
//
// Arrays are dense, rows one after the other; gradients are written to memory that the caller gives. `bench.cpp` calls
// these functions, the definitions of what they differentiate are in bench/gradbench and bench/cases.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using Size = std::int64_t;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void cross(const double* a, const double* b, double* c) {
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
}

// A rotation by an axis times an angle (Rodrigues), forwards and backwards.
struct Rotation {
    double w[3], angle, s, c;
    const double* r;

    explicit Rotation(const double* rotation) : r(rotation) {
        angle = std::sqrt(dot(r, r));
        s = std::sin(angle);
        c = std::cos(angle);
        for (int i = 0; i < 3; i++) w[i] = angle > 0 ? r[i] / angle : 0;
    }

    void turn(const double* x, double* y) const {
        double product[3];
        if (angle == 0) {
            cross(r, x, product);
            for (int i = 0; i < 3; i++) y[i] = x[i] + product[i];
            return;
        }
        cross(w, x, product);
        double along = dot(w, x) * (1 - c);
        for (int i = 0; i < 3; i++) y[i] = x[i] * c + product[i] * s + w[i] * along;
    }

    // Writes the cotangent of x, adds to that of the rotation.
    void pull(const double* x, const double* by_y, double* by_x, double* by_r) const {
        double moved[3], turned[3];
        cross(x, by_y, turned);
        if (angle == 0) {
            cross(by_y, r, moved);
            for (int i = 0; i < 3; i++) by_x[i] = by_y[i] + moved[i], by_r[i] += turned[i];
            return;
        }
        cross(by_y, w, moved);
        double wx = dot(w, x), wy = dot(w, by_y), by_w[3];
        double by_angle = -s * dot(x, by_y) + c * dot(w, turned) + s * wx * wy;
        for (int i = 0; i < 3; i++) {
            by_x[i] = by_y[i] * c + moved[i] * s + w[i] * wy * (1 - c);
            by_w[i] = s * turned[i] + (1 - c) * (wx * by_y[i] + wy * x[i]);
        }
        double radial = dot(w, by_w);
        for (int i = 0; i < 3; i++) by_r[i] += (by_w[i] - w[i] * radial) / angle + w[i] * by_angle;
    }
};

}  // namespace

extern "C" {

// log Σ exp x
void lse(Size n, const double* x, double* by_x) {
    double top = x[0], total = 0;
    for (Size i = 1; i < n; i++) top = std::max(top, x[i]);
    for (Size i = 0; i < n; i++) total += by_x[i] = std::exp(x[i] - top);
    for (Size i = 0; i < n; i++) by_x[i] /= total;
}

// ½ Σ (sign t - Σ x_j t^j)² at n points
void llsq(Size m, Size n, const double* x, double* by_x) {
    std::fill(by_x, by_x + m, 0.0);
    for (Size i = 0; i < n; i++) {
        double t = -1 + 2.0 * i / (n - 1), value = 0;
        for (Size j = m; j-- > 0;) value = value * t + x[j];
        double term = value - ((t > 0) - (t < 0));
        for (Size j = 0; j < m; j++, term *= t) by_x[j] += term;
    }
}

// The log posterior of a mixture of Gaussians, without the terms that do not depend on the parameters
void gmm(Size d, Size k, Size n, Size m, double gamma, const double* x, const double* alpha, const double* mu,
         const double* q, const double* l, double* by_alpha, double* by_mu, double* by_q, double* by_l) {
    const Size below = d * (d - 1) / 2;
    std::vector<double> Q(k * d * d), by_Q(k * d * d), sum_q(k), apart(k * d), turned(k * d), share(k);
    for (Size c = 0; c < k; c++) {
        const double* part = l + c * below;
        for (Size j = 0; j < d; j++) {
            sum_q[c] += q[c * d + j];
            Q[(c * d + j) * d + j] = std::exp(q[c * d + j]);
            for (Size i = j + 1; i < d; i++) Q[(c * d + i) * d + j] = *part++;
        }
    }
    double top = *std::max_element(alpha, alpha + k), total = 0;
    for (Size c = 0; c < k; c++) total += by_alpha[c] = std::exp(alpha[c] - top);
    for (Size c = 0; c < k; c++) by_alpha[c] *= -double(n) / total;
    std::fill(by_mu, by_mu + k * d, 0.0);
    std::fill(by_q, by_q + k * d, double(m));
    for (Size p = 0; p < n; p++) {
        double highest = -INFINITY, sum = 0;
        for (Size c = 0; c < k; c++) {
            double *a = &apart[c * d], *t = &turned[c * d], square = 0;
            for (Size j = 0; j < d; j++) a[j] = x[p * d + j] - mu[c * d + j];
            for (Size i = 0; i < d; i++) {
                const double* row = &Q[(c * d + i) * d];
                double value = 0;
                for (Size j = 0; j <= i; j++) value += row[j] * a[j];
                t[i] = value;
                square += value * value;
            }
            share[c] = alpha[c] + sum_q[c] - 0.5 * square;
            highest = std::max(highest, share[c]);
        }
        for (Size c = 0; c < k; c++) sum += share[c] = std::exp(share[c] - highest);
        for (Size c = 0; c < k; c++) {
            const double part = share[c] / sum, *a = &apart[c * d], *t = &turned[c * d];
            by_alpha[c] += part;
            for (Size i = 0; i < d; i++) {
                const double *row = &Q[(c * d + i) * d], weighted = part * t[i];
                double* by_row = &by_Q[(c * d + i) * d];
                by_q[c * d + i] += part;
                for (Size j = 0; j <= i; j++) {
                    by_row[j] -= weighted * a[j];
                    by_mu[c * d + j] += weighted * row[j];
                }
            }
        }
    }
    for (Size c = 0; c < k; c++) {
        double* part = by_l + c * below;
        for (Size j = 0; j < d; j++) {
            const Size at = (c * d + j) * d + j;
            by_q[c * d + j] += (by_Q[at] - gamma * gamma * Q[at]) * Q[at];
            for (Size i = j + 1; i < d; i++) {
                const Size under = (c * d + i) * d + j;
                *part++ = by_Q[under] - gamma * gamma * Q[under];
            }
        }
    }
}

// Half the sum of the squares of a bundle's residuals and of its weights' errors
void ba(Size n, Size m, Size p, const double* cameras, const double* points, const double* weights,
        const double* features, const Size* seen_by, const Size* seen, double* by_cameras, double* by_points,
        double* by_weights) {
    std::fill(by_cameras, by_cameras + 11 * n, 0.0);
    std::fill(by_points, by_points + 3 * m, 0.0);
    for (Size i = 0; i < p; i++) {
        const double *camera = cameras + 11 * seen_by[i], *point = points + 3 * seen[i], weight = weights[i];
        double *by_camera = by_cameras + 11 * seen_by[i], *by_point = by_points + 3 * seen[i];
        const Rotation rotation(camera);
        const double x[3] = {point[0] - camera[3], point[1] - camera[4], point[2] - camera[5]}, f = camera[6];
        double y[3], by_x[3];
        rotation.turn(x, y);
        const double u = y[0] / y[2], v = y[1] / y[2], square = u * u + v * v;
        const double radial = 1 + camera[9] * square + camera[10] * square * square;
        const double away[2] = {u * radial * f + camera[7] - features[2 * i],
                                v * radial * f + camera[8] - features[2 * i + 1]};
        const double by_place[2] = {weight * weight * away[0], weight * weight * away[1]};
        by_weights[i] = weight * (away[0] * away[0] + away[1] * away[1]) - 2 * weight * (1 - weight * weight);
        by_camera[6] += radial * (by_place[0] * u + by_place[1] * v);
        by_camera[7] += by_place[0];
        by_camera[8] += by_place[1];
        const double by_radial = f * (by_place[0] * u + by_place[1] * v);
        by_camera[9] += by_radial * square;
        by_camera[10] += by_radial * square * square;
        const double by_square = by_radial * (camera[9] + 2 * camera[10] * square);
        const double by_u = f * by_place[0] * radial + 2 * u * by_square;
        const double by_v = f * by_place[1] * radial + 2 * v * by_square;
        const double by_y[3] = {by_u / y[2], by_v / y[2], -(by_u * u + by_v * v) / y[2]};
        rotation.pull(x, by_y, by_x, by_camera);
        for (int j = 0; j < 3; j++) {
            by_camera[3 + j] -= by_x[j];
            by_point[j] += by_x[j];
        }
    }
}

// The Jacobian of a bundle's residuals and of its weights' errors, by rows, without what is always zero
void ba_jacobian(Size n, Size m, Size p, const double* cameras, const double* points, const double* weights,
                 const double* features, const Size* seen_by, const Size* seen, int32_t* starts, int32_t* columns,
                 double* values) {
    const int32_t of_points = 11 * n, of_weights = of_points + 3 * m;
    for (Size i = 0; i < p; i++) {
        const double *camera = cameras + 11 * seen_by[i], *point = points + 3 * seen[i], weight = weights[i];
        const Rotation rotation(camera);
        const double x[3] = {point[0] - camera[3], point[1] - camera[4], point[2] - camera[5]}, f = camera[6];
        double y[3];
        rotation.turn(x, y);
        const double place[2] = {y[0] / y[2], y[1] / y[2]};
        const double square = place[0] * place[0] + place[1] * place[1];
        const double radial = 1 + camera[9] * square + camera[10] * square * square;
        for (int c = 0; c < 2; c++) {
            double by_x[3], by_camera[11] = {0}, by_place[2];
            const double by_radial = weight * f * place[c], own = weight * f * radial;
            const double by_square = by_radial * (camera[9] + 2 * camera[10] * square);
            for (int j = 0; j < 2; j++) by_place[j] = 2 * place[j] * by_square + (j == c) * own;
            const double by_y[3] = {by_place[0] / y[2], by_place[1] / y[2],
                                    -(by_place[0] * place[0] + by_place[1] * place[1]) / y[2]};
            rotation.pull(x, by_y, by_x, by_camera);
            for (int j = 0; j < 3; j++) by_camera[3 + j] = -by_x[j];
            by_camera[6] = weight * radial * place[c];
            by_camera[7] = by_camera[8] = weight;
            by_camera[9] = by_radial * square;
            by_camera[10] = by_radial * square * square;
            *starts++ = 14 * (2 * i + c);
            for (int j = 0; j < 11; j++) {
                if (j == 8 - c) continue;  // the other coordinate's shift
                *columns++ = 11 * seen_by[i] + j;
                *values++ = by_camera[j];
            }
            for (int j = 0; j < 3; j++) {
                *columns++ = of_points + 3 * seen[i] + j;
                *values++ = by_x[j];
            }
            *columns++ = of_weights + i;
            *values++ = place[c] * radial * f + camera[7 + c] - features[2 * i + c];
        }
    }
    for (Size i = 0; i < p; i++) {
        *starts++ = 28 * p + i;
        *columns++ = of_weights + i;
        *values++ = -2 * weights[i];
    }
    *starts = 29 * p;
}

// The loss of a long short-term memory of l layers of b elements over c rows
void lstm(Size l, Size c, Size b, const double* main, const double* extra, const double* state,
          const double* sequence, double* by_main, double* by_extra) {
    const Size steps = c - 1, width = l * b;
    // What each element of each layer computes at each step: gates, tanh of the cell; and its state before the step.
    struct Element {
        double forget, store, show, change, out, in, hidden, cell;
    };
    std::vector<Element> seen(steps * width);
    std::vector<double> hidden(width), cell(width), y(steps * b), by_hidden(width), by_cell(width), by_in(b);
    std::vector<double> totals(steps);
    for (Size i = 0; i < l; i++)
        for (Size j = 0; j < b; j++) {
            hidden[i * b + j] = state[2 * i * b + j];
            cell[i * b + j] = state[(2 * i + 1) * b + j];
        }
    for (Size t = 0; t < steps; t++) {
        double sum = 2;
        for (Size j = 0; j < b; j++) {
            double in = sequence[t * b + j] * extra[j];
            for (Size i = 0; i < l; i++) {
                const double *w = main + 8 * i * b + j, *bias = w + 4 * b;
                Element& e = seen[t * width + i * b + j];
                e.in = in;
                e.hidden = hidden[i * b + j];
                e.cell = cell[i * b + j];
                e.forget = sigmoid(in * w[0] + bias[0]);
                e.store = sigmoid(e.hidden * w[b] + bias[b]);
                e.show = sigmoid(in * w[2 * b] + bias[2 * b]);
                e.change = std::tanh(e.hidden * w[3 * b] + bias[3 * b]);
                cell[i * b + j] = e.cell * e.forget + e.store * e.change;
                e.out = std::tanh(cell[i * b + j]);
                in = hidden[i * b + j] = e.show * e.out;
            }
            sum += y[t * b + j] = std::exp(in * extra[b + j] + extra[2 * b + j]);
        }
        totals[t] = sum;
    }
    std::fill(by_main, by_main + 8 * width, 0.0);
    std::fill(by_extra, by_extra + 3 * b, 0.0);
    const double scale = -1.0 / (steps * b);
    for (Size t = steps; t-- > 0;) {
        double bits = 0;
        for (Size j = 0; j < b; j++) bits += sequence[(t + 1) * b + j];
        for (Size j = 0; j < b; j++) {
            const Element& last = seen[t * width + (l - 1) * b + j];
            const double by_y = scale * (sequence[(t + 1) * b + j] - bits * y[t * b + j] / totals[t]);
            by_extra[b + j] += by_y * last.show * last.out;
            by_extra[2 * b + j] += by_y;
            double above = by_y * extra[b + j];
            for (Size i = l; i-- > 0;) {
                const Element& e = seen[t * width + i * b + j];
                const double* w = main + 8 * i * b + j;
                double *by_w = by_main + 8 * i * b + j, *by_bias = by_w + 4 * b;
                const double by_out = by_hidden[i * b + j] + above;
                const double by_c = by_cell[i * b + j] + by_out * e.show * (1 - e.out * e.out);
                const double forget = by_c * e.cell * e.forget * (1 - e.forget);
                const double store = by_c * e.change * e.store * (1 - e.store);
                const double show = by_out * e.out * e.show * (1 - e.show);
                const double change = by_c * e.store * (1 - e.change * e.change);
                by_w[0] += forget * e.in, by_bias[0] += forget;
                by_w[b] += store * e.hidden, by_bias[b] += store;
                by_w[2 * b] += show * e.in, by_bias[2 * b] += show;
                by_w[3 * b] += change * e.hidden, by_bias[3 * b] += change;
                by_cell[i * b + j] = by_c * e.forget;
                by_hidden[i * b + j] = store * w[b] + change * w[3 * b];
                above = forget * w[0] + show * w[2 * b];
            }
            by_extra[j] += above * sequence[t * b + j];
        }
    }
}

}  // extern "C"
