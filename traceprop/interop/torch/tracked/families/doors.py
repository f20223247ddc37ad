"""Functions that tell about a tensor, that take values out, and that can't be followed."""

from __future__ import annotations

from traceprop.interop.torch.tracked.entries import (
    define_escape,
    define_metadata,
    define_opaque,
    define_refused,
)

define_metadata(
    "dim ndimension size stride numel nelement element_size storage_offset is_contiguous "
    "is_complex "
    "is_conj is_neg is_floating_point is_signed is_inference is_pinned is_shared is_same_size "
    "is_set_to is_distributed is_coalesced get_device dim_order retain_grad "
    "__len__ sparse_dim dense_dim has_names _is_view _nnz "
    "_dimI _dimV layout shape dtype device ndim itemsize nbytes requires_grad is_leaf grad_fn "
    "output_nr name names is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested "
    "is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu retains_grad grad_dtype volatile "
    "_version _cdata _grad_fn _backward_hooks _post_accumulate_grad_hooks __dlpack_device__ "
    "_nested_tensor_size _nested_tensor_strides _nested_tensor_storage_offsets __repr__ "
    "__format__ __reversed__ __deepcopy__ __reduce_ex__ __setstate__ "
    "nn.functional._sym_int record_stream "
    "_clear_non_serializable_cached_data module_load "
    "autocast _sym_sqrt sym_int sym_float sym_ite sym_max sym_min sym_not sym_sqrt sym_sum",
)
define_escape(
    "item tolist __array__ __float__ __int__ __long__ __complex__ __bool__ __nonzero__ __index__ "
    "__contains__ is_nonzero equal allclose",
    "a number, a list, an array or one truth about all values: it leaves the lineage",
)
define_escape(
    "__dlpack__ __cuda_array_interface__ data_ptr const_data_ptr untyped_storage storage "
    "storage_type share_memory_ share_memory",
    "the memory itself is in other hands, which may write into it",
)
define_escape(
    "backward grad _grad",
    "gradients are computed from the values, and kept in plain tensors",
)
define_refused(
    "apply_ apply map_ map map2_ map2", "a function of yours would see cells one by one: use torch "
    "functions on whole tensors",
)  # fmt: skip
define_refused(
    "register_hook register_post_accumulate_grad_hook reinforce _base __array_wrap__",
    "it would hand plain tensors about: use it on X.detach().numpy() or on a plain tensor",
)
define_refused(
    "set_ set resize_ resize resize_as_ resize_as resize_as_sparse_ resize_as_sparse "
    "sparse_resize_ sparse_resize sparse_resize_and_clear_ sparse_resize_and_clear as_strided_ "
    "squash_mask_",
    "it changes which memory a tensor shows: make a new tensor, as x = x.reshape(...)",
)
define_refused(
    "rename rename_ align_to align_as refine_names unflatten_names",
    "named axes aren't followed: give the tensor without names",
)
define_refused(
    "hsmm to_sparse to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc to_sparse_coo "
    "sparse_mask "
    "to_dense _to_dense coalesce _coalesced_ indices _indices values _values crow_indices "
    "col_indices ccol_indices row_indices _sparse_mask_projection hspmm smm sspaddmm "
    "indices_copy values_copy crow_indices_copy col_indices_copy ccol_indices_copy "
    "row_indices_copy to_mkldnn to_padded_tensor saddmm",
    "sparse and nested tensors have no rows to follow: keep the tensor dense",
)
define_refused(
    "quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr "
    "q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points q_per_channel_axis "
    "qscheme quantized_batch_norm quantized_gru_cell quantized_lstm_cell quantized_max_pool1d "
    "quantized_max_pool2d quantized_max_pool3d quantized_rnn_relu_cell quantized_rnn_tanh_cell "
    "fake_quantize_per_channel_affine fake_quantize_per_tensor_affine "
    "fused_moving_avg_obs_fake_quant fbgemm_linear_fp16_weight "
    "fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight "
    "fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight "
    "fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix choose_qparams_optimized",
    "quantized tensors have no rows to follow: quantize after the lineage ends",
)
define_opaque(
    "fill_diagonal_ Tensor.index sum_to_size _autocast_to_full_precision "
    "_autocast_to_reduced_precision",
    "it is torch's own: every row gets all rows", family="internal",
)  # fmt: skip
